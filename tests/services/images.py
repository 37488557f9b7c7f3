"""Build the images with buildah, and run programs in them as the chart's pods would.

A pod of the chart has a read-only root, a user that is not root, no capabilities, no way to new
privileges, and writes to volumes only; here it has no network beyond its own loopback either.
"""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.helm_chart import ROOT
from umo_pipelines.placement import USER

FLAGS = "UMO_BUILD_FLAGS"
"""Environment variable: further options of the build, what this machine needs to reach PyPI."""
REGISTRY = "localhost/umo-platform"
PROGRAMS = ("buildah", "make", "unshare", "setpriv", "ip")
POD = """
set -eu
root=$1 user=$2
shift 2
ip link set lo up
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
while [ "$1" != -- ]; do mount --bind "${1%%=*}" "$root/${1#*=}"; shift; done
shift
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user:$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image, unpacked."""

    root: Path
    environment: Mapping[str, str]

    def start(
        self, *command: str, volumes: Mapping[str, Path], log: Path
    ) -> "subprocess.Popen[bytes]":
        """Start a program; `volumes` are folders of this machine by their place in the image."""
        for folder in volumes.values():
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, USER, USER)
        mounts = [f"{folder}={place}" for place, folder in volumes.items()]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        inside = ["/usr/bin/env", "-i", *variables, *command]
        apart = ["unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "--kill-child"]
        with log.open("ab") as stream:
            return subprocess.Popen(
                [*apart, "sh", "-c", POD, "pod", self.root, str(USER), *mounts, "--", *inside],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def run(self, *command: str, volumes: Mapping[str, Path], log: Path) -> str:
        """Run a program to its end, which must be a good one; what it said."""
        code = self.start(*command, volumes=volumes, log=log).wait()
        said = log.read_text()
        assert code == 0, f"{shlex.join(command)} ended with {code}: {said[-2000:]}"
        return said


@contextmanager
def images(store: Path) -> Iterator[Callable[[str], Image]]:
    """`make images` into an empty store of its own; each image by its name."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"no {', '.join(missing)}" if missing else "not root")
    buildah = ["buildah", "--root", str(store / "root"), "--runroot", str(store / "run")]

    def ask(*arguments: str) -> str:
        done = subprocess.run([*buildah, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def unpacked(part: str) -> Image:
        name = f"{REGISTRY}/{part}:0.1.0-cpu"
        settings = json.loads(ask("inspect", "--type", "image", name))["OCIv1"]["config"]
        root = ask("mount", ask("from", "--pull-never", name))
        return Image(Path(root), dict(entry.split("=", 1) for entry in settings["Env"]))

    make = ["make", "images", f"BUILDER={shlex.join(buildah)}", f"REGISTRY={REGISTRY}"]
    try:
        subprocess.run(
            [*make, f"BUILD_FLAGS={os.environ.get(FLAGS, '')}"], cwd=ROOT, check=True, timeout=5400
        )
        yield unpacked
    finally:
        ask("umount", "--all")
        ask("rm", "--all")
        ask("rmi", "--all", "--force")
