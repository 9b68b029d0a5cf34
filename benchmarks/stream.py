"""A raw stream between two processes of ours, against plain TCP with the same cipher.

    python -m benchmarks.stream [--mib 256] [--rounds 5] [--loop uvloop] [--websocket]

One round sends the same bytes twice from this process to another on loopback: over asyncio's own
streams, sealed in frames of 64 KiB with ChaCha20-Poly1305; and over TCP, Noise and Yamux of
`ipfs.p2p`. The clock runs from the first byte written to the receiver's word that it has all.
"""

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ipfs.host import PeerAddress, Stream
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm

MIB = 1024 * 1024
FRAME_BYTES = 65535 - 16
KEY = bytes(32)
SINK = "/bench/sink/1.0.0"
DONE = b"all"


async def send_plain(host: str, port: int, payload: bytes, count: int) -> float:
    """Send `payload` so many times in sealed frames; return the seconds it took."""
    reader, writer = await asyncio.open_connection(host, port)
    cipher, nonce = ChaCha20Poly1305(KEY), 0
    started = time.perf_counter()
    for _ in range(count):
        for start in range(0, len(payload), FRAME_BYTES):
            frame = cipher.encrypt(nonce.to_bytes(12), payload[start : start + FRAME_BYTES], None)
            nonce += 1
            writer.write(len(frame).to_bytes(2) + frame)
            await writer.drain()
    writer.write_eof()
    assert await reader.read() == DONE
    taken_s = time.perf_counter() - started
    writer.close()
    return taken_s


async def receive_plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Open every frame until the end, then say so."""
    cipher, nonce = ChaCha20Poly1305(KEY), 0
    with suppress(asyncio.IncompleteReadError):
        while True:
            size_bytes = int.from_bytes(await reader.readexactly(2))
            cipher.decrypt(nonce.to_bytes(12), await reader.readexactly(size_bytes), None)
            nonce += 1
    writer.write(DONE)
    writer.close()


async def send_ours(host: Swarm, peer: PeerAddress, payload: bytes, count: int) -> float:
    """Send `payload` so many times over a new stream; return the seconds it took."""
    await host.connect(peer)
    stream, _ = await host.open_stream(peer.peer_id, [SINK])
    started = time.perf_counter()
    for _ in range(count):
        await stream.write(payload)
    await stream.close_write()
    assert await stream.read(16) == DONE
    return time.perf_counter() - started


async def receive_ours(stream: Stream) -> None:
    """Read to the end, then say so."""
    while await stream.read(MIB):
        pass
    await stream.write(DONE)


async def serve(listen: Multiaddr) -> None:
    """Be the other process: print where to send, and stop when standard input ends."""
    plain = await asyncio.start_server(receive_plain, "127.0.0.1", 0)
    async with Swarm(Identity.generate(), listen=[listen]) as host:
        host.handle(SINK, receive_ours)
        ours = host.addresses[0].with_peer_id(host.peer_id)
        print(plain.sockets[0].getsockname()[1], ours, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        plain.close()
    print(peak_mib(), flush=True)


def peak_mib() -> int:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def measure(mib: int, rounds: int) -> None:
    """Send rounds of both kinds and print what they came to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.stream", "--serve", *sys.argv[1:]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port, address = (await process.stdout.readline()).decode().split()
    payload = bytes(MIB)
    ratios = []
    async with Swarm(Identity.generate()) as host:
        for _ in range(rounds):
            plain_s = await send_plain("127.0.0.1", int(port), payload, mib)
            ours_s = await send_ours(host, PeerAddress.parse(address), payload, mib)
            ratios.append(plain_s / ours_s)
            print(
                f"plain {mib / plain_s:6.0f} MiB/s   ours {mib / ours_s:6.0f} MiB/s"
                f"   ratio {ratios[-1]:.2f}"
            )
    process.stdin.close()
    print(f"ratio: median {statistics.median(ratios):.2f}, best {max(ratios):.2f} (must 0.5)")
    their_peak = (await process.stdout.readline()).decode().strip()
    print(f"peak memory: sender {peak_mib()} MiB, receiver {their_peak} MiB (at most 200)")
    await process.wait()


def run(work: Coroutine[None, None, None], loop: str) -> None:
    """Run on asyncio's own loop, or on uvloop's."""
    if loop == "uvloop":
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--websocket", action="store_true", help="ours over a WebSocket")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        listen = "/ip4/127.0.0.1/tcp/0" + ("/ws" if options.websocket else "")
        run(serve(Multiaddr.parse(listen)), options.loop)
    else:
        run(measure(options.mib, options.rounds), options.loop)


if __name__ == "__main__":
    main()
