# SPDX-License-Identifier: BSD-2-Clause
"""Machines by name.

A name is that of a machine, or OUTER@INNER for one that runs inside another, such as
model-sev-es@bochs-svm. A module of this package adds a machine with @register.
"""

import importlib

from ..errors import UsageError, unknown

_MODULES = ("qemu", "sev", "bochs", "model", "lab", "ovmf")


class _Registry:
    """The machines of this build, each created once per run."""

    def __init__(self):
        self._classes = None

    def _load(self):
        if self._classes is None:
            self._classes = {}
            for module in _MODULES:
                for class_ in importlib.import_module(f".{module}", __name__).MACHINES:
                    self._classes[class_.name] = class_
        return self._classes

    def names(self):
        """All names, in the order of the table."""
        return list(self._load())

    def __call__(self, word):
        """Whether `word`, a name or glob, means at least one machine."""
        from fnmatch import fnmatchcase

        # The lab's machines are those of this host: a file may speak of others.
        return word.startswith("lab-") or any(fnmatchcase(name, word) for name in self._load()) or \
            "@" in word and all(self(part) for part in word.split("@"))

    def takes_variants(self, name):
        """Whether parameters may be added to machine `name`."""
        class_ = self._load().get(name.partition("+")[0])
        return class_ is not None and class_.variants

    def create(self, name, tools):
        """Machine `name` with the Tools given. UsageError if there is none."""
        outer, at, inner = name.partition("@")
        outer, plus, variant = outer.partition("+")
        classes = self._load()
        if outer not in classes:
            raise unknown("machine", name, [*classes, "auto"])
        class_ = classes[outer]
        if at:
            if not class_.nests:
                raise UsageError(f"machine '{name}': {outer} does not run inside another machine")
            return class_(tools, inside=self.create(inner, tools))
        if plus:
            if not class_.variants:
                raise UsageError(f"machine '{name}': {outer} has no parameters")
            return class_(tools, variant=variant)
        return class_(tools)

    def auto(self, tools):
        """The machines that `auto` means here."""
        machines = [m for m in (self.create(n, tools) for n in self.names())
                    if m.automatic() and m.probe() is None]
        if any(not m.fallback for m in machines):
            machines = [m for m in machines if not m.fallback]
        return machines

    def left_out(self, tools):
        """{name: reason} of the machines that `auto` would mean, if this host did not lack something."""
        reasons = {m.name: m.probe() for m in (self.create(n, tools) for n in self.names())
                   if m.automatic() and not m.fallback}
        return {name: reason for name, reason in reasons.items() if reason}


known = _Registry()
