"""A TCP proxy in front of one server that does one wrong thing at the n-th exchange. Used by scripts/faults.

An exchange is what a client sends before it waits: an HTTP request, a pipeline of Redis commands, or messages
of PostgreSQL up to Query, Sync, a password or the start of a session.
"""

import random
import socket
import struct
import threading
import time

SLOW = 2.5  # seconds of a delay, and of a server that is down for a moment
# Seconds between two parts of an endless answer of PostgreSQL. Its driver lets nothing else run while there is
# something to read, so a debug build would never come to its deadline if this proxy were faster.
PAUSE = 0.05

# What each fault does; those of HTTP answer instead of the server.
FAULTS = {
    "reset-before": "the request is lost, the connection is reset",
    "reset": "the server acts, its answer is lost, the connection is reset",
    "close": "the server acts, its answer is lost, the connection is closed",
    "truncate": "half of the answer arrives, then the connection is closed",
    "delay": f"the answer arrives {SLOW} s late",
    "silent": "the server acts, and nothing arrives on this connection any more",
    "garbage": "the answer is no answer",
    "endless": "the answer does not end",
    "blink": f"the server resets all connections for {SLOW} s",
    "down": "the server resets all connections until the run is over",
    "500": "an internal error",
    "429": "too many requests",
}
ONLY_HTTP = {"500", "429"}


def faults_of(store):
    return [fault for fault in FAULTS if store == "chroma" or fault not in ONLY_HTTP]


def http_exchange(buffer, _):
    """The length of the first complete request, or nothing."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[:end].lower()
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
        if name == b"transfer-encoding":
            last = buffer.find(b"\r\n0\r\n\r\n", end + 2)
            return None if last < 0 else last + 7
    return end + 4 + length if len(buffer) >= end + 4 + length else None


def redis_exchange(buffer, _):
    """All that was sent, once it ends with a complete command."""
    at = 0
    while at < len(buffer):
        end = buffer.find(b"\r\n", at)
        if end < 0 or buffer[at : at + 1] != b"*":
            return None
        count, at = int(buffer[at + 1 : end]), end + 2
        for _ in range(count):
            end = buffer.find(b"\r\n", at)
            if end < 0:
                return None
            at = end + 2 + int(buffer[at + 1 : end]) + 2
        if at > len(buffer):
            return None
    return at or None


def postgres_exchange(buffer, connection):
    """Messages up to one that the client waits after."""
    at = 0
    while at < len(buffer):
        # The first messages of a session have no letter.
        letter = b"" if not connection.has_started else buffer[at : at + 1]
        head = at + len(letter)
        if len(buffer) < head + 4:
            return None
        end = head + struct.unpack(">I", buffer[head : head + 4])[0]
        if len(buffer) < end:
            return None
        if not letter:
            # A wish for TLS is followed by another start.
            connection.has_started = buffer[head + 4 : head + 8] != struct.pack(">I", 80877103)
            return end
        if letter in (b"Q", b"S", b"p"):
            return end
        at = end
    return None


EXCHANGE = {"chroma": http_exchange, "redis": redis_exchange, "postgres": postgres_exchange}


def instead(fault, store):
    """The first bytes of an answer that the server did not give."""
    if store == "chroma":
        kind = "Content-Type: application/json\r\n"
        if fault == "endless":
            return f"HTTP/1.1 200 OK\r\n{kind}\r\n[0".encode()
        status, body = {
            "500": ("500 Internal Server Error", '{"error":"InternalError","message":"disk I/O error"}'),
            "429": ("429 Too Many Requests", '{"error":"TooManyRequests","message":"slow down"}'),
            "garbage": ("200 OK", "<html><body>Welcome to the hotel's network</body></html>"),
        }[fault]
        return f"HTTP/1.1 {status}\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    if store == "redis":
        return b"*1000000000\r\n" if fault == "endless" else b"<html>what?\r\n"
    return b"" if fault == "endless" else b"<html><body>Welcome to the hotel</body>"


def notice(text):
    fields = b"SNOTICE\0VNOTICE\0C00000\0M" + text + b"\0\0"
    return b"N" + struct.pack(">I", len(fields) + 4) + fields


ENDLESS = {"chroma": b",0" * 32768, "redis": b"+x\r\n" * 16384, "postgres": notice(b"still at it") * 2048}


class Connection:
    def __init__(self, proxy, client):
        self.proxy, self.client, self.server = proxy, client, socket.create_connection(("127.0.0.1", proxy.server))
        for end in (self.client, self.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.has_started = False
        self.fault = None  # of the answer that is awaited
        self.is_silent = False

    def from_client(self):
        waiting = b""
        try:
            while data := self.client.recv(1 << 20):
                waiting += data
                while waiting:
                    length = EXCHANGE[self.proxy.store](waiting, self)
                    if length is None:
                        # A goodbye is no exchange: nobody waits for an answer.
                        if self.proxy.store == "postgres" and waiting == b"X\0\0\0\4":
                            self.server.sendall(waiting)
                            waiting = b""
                        break
                    exchange, waiting = waiting[:length], waiting[length:]
                    self.ask(exchange)
        except (OSError, ValueError):
            pass
        self.end()

    def ask(self, exchange):
        fault = self.proxy.next_exchange()
        if fault in ("reset-before", "blink", "down"):
            self.reset()
        elif fault in ONLY_HTTP:
            self.client.sendall(instead(fault, self.proxy.store))
        else:
            self.fault = fault
            self.server.sendall(exchange)

    def from_server(self):
        try:
            while data := self.server.recv(1 << 20):
                fault, self.fault = self.fault, None
                self.answer(fault, data)
        except OSError:
            pass
        if not self.is_silent:
            self.end()

    def answer(self, fault, data):
        if fault == "reset":
            self.reset()
        elif fault == "close":
            self.end()
        elif fault == "truncate":
            self.client.sendall(data[: max(1, len(data) // 2)])
            self.end()
        elif fault == "silent":
            self.is_silent = True
        elif fault in ("garbage", "endless"):
            self.is_silent = True
            self.client.sendall(instead(fault, self.proxy.store))
            while fault == "endless":
                self.client.sendall(ENDLESS[self.proxy.store])
                if self.proxy.store == "postgres":
                    time.sleep(PAUSE)
        elif not self.is_silent:
            if fault == "delay":
                time.sleep(SLOW)
            self.client.sendall(data)

    def reset(self):
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        self.end()

    def end(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Proxy:
    def __init__(self, store, server):
        self.store, self.server = store, server
        self.lock = threading.Lock()
        self.arm(None, 0)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Below the range of ports that the kernel gives to outgoing connections.
        while True:
            try:
                self.listener.bind(("127.0.0.1", random.randrange(20000, 32000)))
                break
            except OSError:
                pass
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def arm(self, fault, at):
        """One fault at an exchange that is counted from here on, or none."""
        with self.lock:
            self.fault, self.at, self.exchanges, self.is_down_until, self.connections = fault, at, 0, 0.0, []

    @property
    def was_reached(self):
        return self.exchanges >= self.at

    def next_exchange(self):
        with self.lock:
            self.exchanges += 1
            if self.fault is None or self.exchanges != self.at:
                return "down" if time.monotonic() < self.is_down_until else None
            if self.fault in ("blink", "down"):
                self.is_down_until = time.monotonic() + (SLOW if self.fault == "blink" else 1e9)
                others = list(self.connections)
            else:
                others = []
        for connection in others:
            connection.end()
        return self.fault

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                if time.monotonic() < self.is_down_until:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                    continue
                connection = Connection(self, client)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.connections.append(connection)
            for run in (connection.from_client, connection.from_server):
                threading.Thread(target=run, daemon=True).start()

    def close(self):
        self.listener.close()
        for connection in self.connections:
            connection.end()
