"""The load client against servers that refuse, answer nonsense, hang up, or are not there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from fairlead.lab.load.lines import Figures
from fairlead.lab.load.run import LoadFailed, run
from fairlead.lab.load.shapes import Shape
from fairlead.lab.load.spec import Target, Timing, Traffic, encode

pytestmark = pytest.mark.native


def spec(url: str) -> bytes:
    target = Target(urls=[url], key="devkey", secret="secret")
    shape = Shape(audio_publishers=1, subscribers=3)
    return encode(shape, target, Timing(), Traffic(), run="r", now=1_700_000_000.0)


def play(text: bytes, stopped: bool = False) -> Figures:
    figures, _ = anyio.run(lambda: run(text, stopped=lambda: stopped))
    return figures


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says this to whoever connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(LoadFailed, match="the first client can't reach the server") as failed:
        play(spec(f"ws://127.0.0.1:{port}"))
    assert failed.value.status == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nwrong key",
            "was refused with status 401 Unauthorized: wrong key",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "was refused with status 200 OK"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "could not join"),
        (b"", "could not join"),
        (b"HTTP/1.1 101 Switching", "could not join"),
    ],
)
def test_an_answer_that_lets_nobody_in_is_the_reason(answer: bytes, words: str) -> None:
    with answering(answer) as url, pytest.raises(LoadFailed, match=words):
        play(spec(url))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://nowhere.invalid:7880", "nowhere.invalid is not found"),
        ("ftp://127.0.0.1", "begin it with ws:// or wss://"),
        ("what is this", "write it as"),
    ],
)
def test_an_address_that_cannot_be_used_is_bad_input(url: str, words: str) -> None:
    with pytest.raises(LoadFailed, match=words) as failed:
        play(spec(url))
    assert failed.value.status == 2


def test_a_spec_that_cannot_be_is_bad_input() -> None:
    with pytest.raises(LoadFailed, match="the spec can't be read") as failed:
        play(b'{"publishers": 3}')
    assert failed.value.status == 2


def test_a_run_that_is_stopped_while_it_joins_has_figures_of_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, says nothing
        figures = play(spec(f"ws://127.0.0.1:{mute.getsockname()[1]}"), stopped=True)
    assert figures.interrupted
    assert (figures.joined, figures.media) == (0, {})
