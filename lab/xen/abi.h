/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a dom0 needs of Xen's interface, for callers of 64 bits, as xen/include/public has it: xen.h, version.h,
 * sched.h, event_channel.h, physdev.h, memory.h, domctl.h, sysctl.h, hvm/{dm_op,ioreq,params,save}.h and
 * arch-x86/{xen,hvm/save}.h. What differs from one version of Xen to the next is in abi.c, and nowhere else.
 */
#ifndef XEN_ABI_H
#define XEN_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -- Versions. --------------------------------------------------------------------------------- */

/* A version of Xen, 4.MINOR, whose toolstack interface is known here. */
struct xen_version {
	unsigned minor;
	uint32_t domctl, sysctl; /* what each call must name */
	bool has_grant_options;	 /* createdomain: grant_opts, vmtrace_size and cpupool_id */
	bool has_altp2m;	 /* createdomain: altp2m_opts */
	bool has_mempool;	 /* set_paging_mempool_size; before it, OP_SET_ALLOCATION */
	bool nested_by_flag;	 /* CDF_nested_virt; before it, HVM_PARAM_NESTEDHVM */
};

/* The row of Xen 4.`minor`; NULL where it is not known. */
const struct xen_version *xen_version_of(unsigned major, unsigned minor);
/* "4.14 and 4.17 to 4.21", for a message. */
const char *xen_versions_known(void);

/* -- Calls. ------------------------------------------------------------------------------------ */

/* Up to five arguments; a negative error number, or what the call gives. */
long hypercall(unsigned op, ...);

enum {
	OP_MMU_UPDATE = 1,
	OP_MEMORY = 12,
	OP_UPDATE_VA_MAPPING = 14,
	OP_VERSION = 17,
	OP_CONSOLE_IO = 18,
	OP_MMUEXT = 26,
	OP_SCHED = 29,
	OP_EVENT_CHANNEL = 32,
	OP_PHYSDEV = 33,
	OP_HVM = 34,
	OP_SYSCTL = 35,
	OP_DOMCTL = 36,
	OP_DM = 41,
};

enum { ERROR_ACCESS = 13, ERROR_INVALID = 22, ERROR_RESTART = 85, ERROR_NOT_SUPPORTED = 95 };
#define DOMID_SELF 0x7ff0

enum { VERSION_VERSION = 0, VERSION_EXTRA = 1, VERSION_CAPABILITIES = 3, VERSION_COMMAND_LINE = 9 };
enum { CONSOLE_WRITE = 0, CONSOLE_READ = 1 };
enum { SCHED_SHUTDOWN = 2, SCHED_POLL = 3, SCHED_YIELD = 0 };
enum { SHUTDOWN_POWER_OFF = 0, SHUTDOWN_REBOOT = 1, SHUTDOWN_CRASH = 3 };
enum { EVENT_BIND_INTERDOMAIN = 0, EVENT_BIND_VIRQ = 1, EVENT_CLOSE = 3, EVENT_SEND = 4 };
enum { PHYSDEV_SET_IOPL = 6 };
enum { VIRQ_CONSOLE = 2, VIRQ_DOM_EXC = 3 };

struct sched_poll {
	const uint32_t *ports;
	uint32_t count, pad;
	uint64_t timeout;
};

struct event_bind_interdomain {
	uint16_t domain, pad;
	uint32_t remote, local;
};

struct event_bind_virq {
	uint32_t virq, vcpu, port;
};

/* -- The first page that a domain gets, and the one it shares with Xen. ------------------------- */

struct start_info {
	char magic[32];
	uint64_t pages, shared_info;
	uint32_t flags;
	uint64_t store_frame;
	uint32_t store_port;
	uint32_t console[4];
	uint64_t page_tables, page_table_frames, frame_list, module, module_bytes;
	char command_line[1024];
};

struct shared_info {
	struct {
		uint8_t upcall_pending, upcall_mask;
		uint64_t selector;
		uint8_t rest[48];
	} vcpu[32];
	uint64_t pending[64], masked[64];
};

/* -- Memory. ----------------------------------------------------------------------------------- */

/* Machine frame to pseudo-physical frame, readable by a paravirtual domain. */
#define MACHINE_TO_PHYSICAL ((const uint64_t *)0xffff800000000000ul)
enum { MMU_PT_UPDATE_PRESERVE_AD = 2, MMUEXT_INVLPG_LOCAL = 7, UVMF_INVLPG = 2 };
enum { MEMORY_POPULATE_PHYSMAP = 6, MEMORY_ACQUIRE_RESOURCE = 28 };
enum { RESOURCE_IOREQ_SERVER = 0 };
#define FRAME_OF_REQUESTS 1 /* the first is that of buffered ones */

struct mmu_update {
	uint64_t pointer, value;
};

struct mmuext_op {
	uint32_t command, pad;
	uint64_t address, unused;
};

struct memory_reservation {
	const uint64_t *frames;
	uint64_t count;
	uint32_t order, flags;
	uint16_t domain;
};

struct memory_resource {
	uint16_t domain, type;
	uint32_t id, count, pad;
	uint64_t first;
	uint64_t *frames;
};

/* -- What only a toolstack may do. -------------------------------------------------------------- */

enum {
	DOMCTL_CREATE = 1,
	DOMCTL_DESTROY = 2,
	DOMCTL_PAUSE = 3,
	DOMCTL_UNPAUSE = 4,
	DOMCTL_INFO = 5,
	DOMCTL_SHADOW = 10,
	DOMCTL_MAX_MEM = 11,
	DOMCTL_MAX_VCPUS = 15,
	DOMCTL_GET_CONTEXT = 33,
	DOMCTL_SET_CONTEXT = 34,
	DOMCTL_GET_CONTEXT_PART = 55,
	DOMCTL_SET_TSC = 60,
	DOMCTL_GET_CPU_POLICY = 82,
	DOMCTL_SET_CPU_POLICY = 83,
	DOMCTL_SET_MEMPOOL = 86,
};

#define CDF_HVM 0x01
#define CDF_HAP 0x02
#define CDF_NESTED 0x40
#define EMULATE_PC 0x3ff /* all but the PCI bus of dom0's own machine */
#define INFO_SHUTDOWN 0x04
#define INFO_REASON(flags) ((flags) >> 16 & 0xff)
enum { SHADOW_CLEAN = 11, SHADOW_SET_ALLOCATION = 31, SHADOW_LOG_DIRTY = 2 };
enum { TSC_NEVER_EMULATE = 2 };

struct domctl {
	uint32_t command, version;
	uint16_t domain, pad[3];
	union {
		struct {
			uint32_t ssidref;
			uint8_t handle[16];
			uint32_t flags, iommu, max_vcpus, max_event_port;
			int32_t max_grant_frames, max_maptrack_frames;
			uint32_t rest[8]; /* abi.c */
		} create;
		struct {
			uint16_t domain, pad;
			uint32_t flags;
		} info;
		struct {
			uint32_t op, mode, mib, pad;
			uint64_t bitmap, pages;
		} shadow;
		struct {
			uint64_t bytes;
		} mempool;
		struct {
			uint64_t kib;
		} max_mem;
		struct {
			uint32_t count;
		} max_vcpus;
		struct {
			uint32_t bytes, pad;
			void *buffer;
		} context;
		struct {
			uint32_t type, instance;
			uint64_t bytes;
			void *buffer;
		} part;
		struct {
			uint32_t mode, khz, incarnation, pad;
			uint64_t elapsed;
		} tsc;
		struct {
			uint32_t leaves, msrs;
			void *leaf, *msr;
			uint32_t bad_leaf, bad_subleaf, bad_msr;
		} policy;
		uint8_t all[128];
	};
};

/* Writes what comes last in createdomain, and where it comes depends on the version. */
void abi_finish_create(struct domctl *op, const struct xen_version *version);

enum { SYSCTL_PHYSINFO = 3, SYSCTL_CPU_POLICY = 29, POLICY_HVM_MAX = 3 };
enum { PHYSINFO_HAP = 1 << 3, PHYSINFO_SHADOW = 1 << 4 };

struct sysctl {
	uint32_t command, version;
	union {
		struct {
			uint32_t index, leaves, msrs, pad;
			void *leaf, *msr;
		} policy;
		struct {
			uint32_t threads, cores, cpus, max_cpu, nodes, max_node, khz, capabilities;
		} physinfo;
		uint8_t all[128];
	};
};

#define CPUID_NO_SUBLEAF 0xffffffffu
struct cpuid_leaf {
	uint32_t leaf, subleaf, a, b, c, d;
};

enum { HVM_SET_PARAM = 0, HVM_PARAM_NESTED = 24 };
struct hvm_param {
	uint16_t domain, pad;
	uint32_t index;
	uint64_t value;
};

/* -- Devices. ---------------------------------------------------------------------------------- */

enum {
	DM_CREATE_SERVER = 1,
	DM_MAP_RANGE = 3,
	DM_SET_SERVER_STATE = 5,
	DM_TRACK_DIRTY = 7,
	DM_SET_ISA_IRQ = 9,
};
enum { RANGE_PORT = 0, RANGE_PCI = 2 };

struct dm_op {
	uint32_t op, pad;
	union {
		struct {
			uint8_t buffered, pad[3];
			uint16_t id;
		} create;
		struct {
			uint16_t id, pad;
			uint32_t type;
			uint64_t first, last;
		} range;
		struct {
			uint16_t id;
			uint8_t enabled, pad;
		} state;
		struct {
			uint32_t count, pad;
			uint64_t first;
		} dirty;
		struct {
			uint8_t irq, level;
		} irq;
		uint8_t all[48];
	};
};

struct dm_buffer {
	void *at;
	uint64_t bytes;
};

/* A request of one of the domain's CPUs; the page of a server is an array of them. */
struct ioreq {
	uint64_t address, data;
	uint32_t count, size, port;
	uint16_t pad;
	uint8_t state : 4, data_is_pointer : 1, read : 1, down : 1, pad1 : 1;
	uint8_t type;
};
enum { IOREQ_NONE, IOREQ_READY, IOREQ_IN_PROCESS, IOREQ_DONE };
enum { IOREQ_PORT = 0, IOREQ_MEMORY = 1, IOREQ_PCI = 2 };

/* -- A domain's saved state. --------------------------------------------------------------------- */

struct save_record {
	uint16_t type, instance;
	uint32_t length;
};
enum { SAVE_END = 0, SAVE_HEADER = 1, SAVE_CPU = 2 };

struct save_cpu {
	uint8_t fpu[512];
	uint64_t rax, rbx, rcx, rdx, rbp, rsi, rdi, rsp, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags, cr0, cr2, cr3, cr4, dr0, dr1, dr2, dr3, dr6, dr7;
	uint32_t cs, ds, es, fs, gs, ss, tr, ldtr;
	uint32_t cs_limit, ds_limit, es_limit, fs_limit, gs_limit, ss_limit, tr_limit, ldtr_limit,
		idtr_limit, gdtr_limit;
	uint64_t cs_base, ds_base, es_base, fs_base, gs_base, ss_base, tr_base, ldtr_base,
		idtr_base, gdtr_base;
	uint32_t cs_attr, ds_attr, es_attr, fs_attr, gs_attr, ss_attr, tr_attr, ldtr_attr;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip, shadow_gs, msr_flags, lstar, star, cstar,
		sfmask, efer, tsc_aux, tsc;
	uint32_t pending_event, error_code, flags, pad;
};

#endif
