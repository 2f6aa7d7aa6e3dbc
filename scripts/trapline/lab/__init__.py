# SPDX-License-Identifier: BSD-2-Clause
"""The lab: real KVM of many kernel versions, inside an emulator that has SVM or VMX.

    store       the kernels that there are, below ~/.cache/trapline/lab
    debian      kernels from Debian's archive, through apt with a configuration of its own
    deb         what is taken out of a package
    kmod        what a kernel module says of itself
    image       kernel and initramfs, ready to boot
    host        a running lab kernel that takes orders
    boot        one guest on such a host, as the scheduler wants it

docs/lab.md is about using it. The programs that run on a lab kernel are in lab/.
"""
