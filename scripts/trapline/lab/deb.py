# SPDX-License-Identifier: BSD-2-Clause
"""What is inside a Debian package, without dpkg and without running anything of it."""

import io
import lzma
import subprocess
import tarfile
from contextlib import contextmanager

from ..errors import UsageError

_AR = b"!<arch>\n"


@contextmanager
def contents(path):
    """The package's files as an open tarfile, to be read in order."""
    with open(path, "rb") as file:
        if file.read(len(_AR)) != _AR:
            raise UsageError(f"{path}: is not a Debian package")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode("ascii", "replace").strip(" /"), int(header[48:58])
            if name.startswith("data.tar"):
                break
            file.seek(size + size % 2, 1)
        else:
            raise UsageError(f"{path}: has no data.tar")
        with _unpacked(path, name, file, size) as stream, \
                tarfile.open(fileobj=stream, mode="r|") as tar:
            yield tar


@contextmanager
def _unpacked(path, name, file, size):
    if name.endswith(".xz"):
        # liblzma stops at the end of the stream, so what follows the member is not read.
        with lzma.LZMAFile(file) as stream:
            yield stream
    elif name.endswith((".zst", ".gz", ".tar")):
        tool = {"zst": ["zstd", "-dc"], "gz": ["gzip", "-dc"], "tar": ["cat"]}[
            name.rpartition(".")[2]]
        yield io.BytesIO(run(tool, file.read(size), path))
    else:
        raise UsageError(f"{path}: {name} is packed in a way not known here")


def run(tool, data, path):
    """`data` through a program."""
    try:
        return subprocess.run(tool, input=data, stdout=subprocess.PIPE, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"{path}: cannot be unpacked with {tool[0]}: {error}") from None


def members(path):
    """(name without leading ./, function that reads it) of every regular file."""
    try:
        with contents(path) as tar:
            for member in tar:
                if member.isfile():
                    yield member.name.removeprefix("./"), lambda m=member: \
                        tar.extractfile(m).read()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise UsageError(f"{path}: is damaged: {error}") from None
