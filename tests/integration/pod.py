"""A pod of the chart without a cluster: each container has its own view of the disks, as rendered.

Like a kubelet, for one machine: user and groups, no capabilities, no new privileges, a read-only
root, the volumes at their places, process 1 of its own, and the address of the network that it is
started in. Instead of the image it takes the files and the environment of this Python. Needs root.
"""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Pod:
    """Containers of one pod template, started by name. ``maps`` has ConfigMaps and Secrets."""

    def __init__(
        self, spec: Mapping[str, Any], folder: Path, ip: str, maps: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._ip = ip
        self._maps = maps
        self._containers: dict[str, subprocess.Popen[str]] = {}
        self._user = spec["securityContext"]
        self._shares_processes = spec.get("shareProcessNamespace", False)
        own = ("--pid", "--fork", "--kill-child", "--mount-proc")
        self._unshare = ["unshare", "--mount", *(() if self._shares_processes else own)]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in {"home": {"name": "home"}, **volumes}.values():
            self._make_volume(volume)

    def start(self, name: str, argv: list[str] | None = None, **more: str) -> None:
        """Start a container; ``argv`` takes the place of its command, ``more`` adds variables."""
        container = self._container(name)
        log = (self._folder / f"{name}.log").open("w")
        with log:
            self._containers[name] = subprocess.Popen(
                [*self._unshare, "sh", "-euc", "\n".join(self._script(container, argv, more))],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
                cwd="/",
            )

    def said(self, name: str) -> str:
        """What a container has written."""
        return (self._folder / f"{name}.log").read_text()

    def ended(self, name: str) -> int | None:
        """The exit status of a container, once it has one."""
        return self._containers[name].poll()

    def stop(self, name: str, limit_s: float = 120.0) -> int:
        """As a kubelet stops it: SIGTERM to its process 1; the exit status."""
        outer = self._containers[name]
        first = outer.pid
        if not self._shares_processes:
            first = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
        os.kill(first, signal.SIGTERM)
        return outer.wait(limit_s)

    def close(self) -> None:
        """End what still runs."""
        for process in self._containers.values():
            process.kill()
            process.wait()

    def home(self) -> Path:
        """The claim, as it lies on this machine."""
        return self._folder / "volumes" / "home"

    def _container(self, name: str) -> Mapping[str, Any]:
        return next(one for one in self._spec["containers"] if one["name"] == name)

    def _make_volume(self, volume: Mapping[str, Any]) -> None:
        """As a kubelet does: group and set-group-id of ``fsGroup``."""
        folder = self._folder / "volumes" / volume["name"]
        folder.mkdir(parents=True)
        if config := volume.get("configMap"):
            for key, text in self._maps[config["name"]].items():
                (folder / key).write_text(text)
                (folder / key).chmod(0o644)
        for source in volume.get("projected", {}).get("sources", ()):
            for item in source["secret"]["items"]:
                file = folder / item["path"]
                file.write_text(self._maps[source["secret"]["name"]][item["key"]])
                self._give(file, volume["projected"]["defaultMode"])
        self._give(folder, 0o2777 if "emptyDir" in volume else 0o2775)
        if not {"emptyDir", "configMap", "projected"} & set(volume):
            (folder / "lost+found").mkdir(mode=0o700, exist_ok=True)  # as on a fresh disk

    def _give(self, path: Path, mode: int) -> None:
        os.chown(path, 0, self._user["fsGroup"])
        path.chmod(mode)

    def _script(
        self, container: Mapping[str, Any], argv: list[str] | None, more: Mapping[str, str]
    ) -> Iterator[str]:
        """Mounts as the container's, then its command in place of the shell."""
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["allowPrivilegeEscalation"] is False
        stage = self._folder / "stage" / container["name"]
        stage.mkdir(parents=True)
        yield "mount --make-rprivate /"
        yield from self._visible_python(stage)
        upper, work = stage / "upper", stage / "work"
        yield f"mkdir {upper} {work}"
        yield f"mount -t overlay o -o lowerdir=/etc,upperdir={upper},workdir={work} /etc"
        yield "mount -t tmpfs t /var/lib"
        # The folder of this test may lie in /tmp, which is hidden last.
        for mount in sorted(container["volumeMounts"], key=lambda one: one["mountPath"] == "/tmp"):
            source = self._folder / "volumes" / mount["name"] / mount.get("subPath", "")
            at = mount["mountPath"]
            yield f"mkdir -p $(dirname {at})"
            yield f"touch {at}" if source.is_file() else f"mkdir -p {at}"
            yield f"mount --bind {source} {at}" + (" -o ro" if mount.get("readOnly") else "")
        yield "mount -o remount,bind,ro /"
        yield "cd /"
        user = self._user
        become = f"setpriv --reuid {user['runAsUser']} --regid {user['runAsGroup']}"
        become += f" --groups {user['fsGroup']} --no-new-privs --bounding-set=-all --inh-caps=-all"
        variables = {**self._environment(container), **more}
        given = shlex.join(f"{name}={value}" for name, value in variables.items())
        words = shlex.join(argv or [*container.get("command", []), *container["args"]])
        yield f"exec {become} env -i {given} {words}"

    def _visible_python(self, stage: Path) -> Iterator[str]:
        """An image's files can be read by everybody; this Python may lie in a home that cannot."""
        hidden: dict[Path, list[Path]] = {}
        for place in {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT}:
            for above in reversed(place.parents):
                if not above.stat().st_mode & stat.S_IXOTH:
                    hidden.setdefault(above, []).append(place)
                    break
        for number, (above, places) in enumerate(hidden.items()):
            for each, place in enumerate(places):
                yield f"mkdir {stage}/p{number}-{each}"
                yield f"mount --bind {place} {stage}/p{number}-{each}"
            yield f"mount -t tmpfs -o mode=755 t {above}"
            for each, place in enumerate(places):
                yield f"mkdir -p {place} && mount --bind {stage}/p{number}-{each} {place}"

    def _environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """Of the image, then of the container."""
        found = {
            "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for entry in container.get("env", ()):
            source = entry.get("valueFrom", {})
            if "fieldRef" in source:
                assert source["fieldRef"]["fieldPath"] == "status.podIP"
                found[entry["name"]] = self._ip
            elif "secretKeyRef" in source:
                key = source["secretKeyRef"]
                found[entry["name"]] = self._maps[key["name"]][key["key"]]
            else:
                value = str(entry["value"])
                for name, known in found.items():
                    value = value.replace(f"$({name})", known)
                found[entry["name"]] = value
        return found


def require_root() -> None:
    """Skip where this user may make no namespaces."""
    probe = subprocess.run(
        ["unshare", "--mount", "true"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"no mount namespace without root: {probe.stderr.strip()}")
