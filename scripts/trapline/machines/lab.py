# SPDX-License-Identifier: BSD-2-Clause
"""The lab's machines: `lab-6.1`, `lab-6.1-intel` and so on, for each kernel and each Xen that scripts/lab knows."""

from ..errors import UsageError
from ..lab import store, xens
from ..lab.bochs import LabBochsAmd, LabBochsIntel
from ..lab.sevhost import LabAmd, LabSev, LabSevEs, LabSevSnp
from ..lab.stock import LabQemuSev, LabQemuSevEs, LabQemuSevSnp
from ..lab.tcg import LabTcg
from ..lab.xen import XenBochsIntel, XenTcg


_KINDS = (LabTcg, LabBochsIntel, LabBochsAmd, LabAmd, LabSev, LabSevEs, LabSevSnp, LabQemuSev, LabQemuSevEs, LabQemuSevSnp)


def _machines():
    """A class for each kernel, vendor and emulator."""
    made = []
    for name in store.names():
        try:
            kernel = store.load(name)
        except UsageError:
            continue
        for kind in _KINDS:
            if kind.vendor in kernel.modules:
                made.append(type(kind.__name__, (kind,), {
                    "name": f"lab-{name}{kind.suffix}", "kernel_name": name,
                    "what": f"{kind.vendor.replace('-', '_')} of Linux {kernel.version} in "
                            f"{kind.what_in}"}))
    for name in xens.names():
        try:
            xen = xens.load(name)
        except UsageError:
            continue
        for kind in (XenTcg, XenBochsIntel):
            made.append(type(kind.__name__, (kind,), {
                "name": f"lab-{name}{kind.suffix}", "xen_name": name,
                "what": f"Xen {xen.version} in {kind.what_in}"}))
    return tuple(made)


MACHINES = _machines()
