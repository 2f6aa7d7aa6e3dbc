# SPDX-License-Identifier: BSD-2-Clause
#
# The host's side of x86/debug/hoststep.c, run by scripts/trapline/gdbstub.py after it has connected. The
# guest's struct host_plan says what to do; its offsets are written out, as the images have no
# debug information.

set language c
set $plan = (unsigned long)&host_plan
set $waits = (unsigned long)&host_waits_here
set $done = (unsigned long)&host_is_done_here
hbreak *$waits
hbreak *$done
continue
while 1
  # Here the guest waits with a plan.
  set $first = *(unsigned long *)$plan
  set $kind = *(unsigned long *)($plan + 0x08)
  set $steps = *(unsigned long *)($plan + 0x18)
  eval "maintenance packet Qqemu.sstep=0x%lx", *(unsigned long *)($plan + 0x10)
  if $kind == 1
    hbreak *$first
  else
    break *$first
  end
  continue
  set $stops = 0
  while $pc != $done
    set $stops = $stops + 1
    if $stops == 1
      set $n = 0
      while $n < $steps
        stepi
        set *(unsigned long *)($plan + 0x28 + 8 * $n) = $pc
        set $n = $n + 1
      end
      # Where a breakpoint of its own is on an INT3 of the guest, gdb steps over both and the guest
      # never executes it.
      if *(unsigned char *)$first == 0xcc
        delete $bpnum
        set $kind = 0
      end
    end
    continue
  end
  set *(unsigned long *)($plan + 0x20) = $stops
  if $kind
    delete $bpnum
  end
  continue
end
