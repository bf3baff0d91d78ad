"""A TCP relay between clients and the server that can be cut: what a train does when it enters a tunnel."""

import socket
import struct
import threading


class Cutter:
    """Relays each connection to a port until `cut`. While `closed`, it takes connections and resets them."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.lock = threading.Lock()
        self.closed = False
        self.pairs = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.closed:
                    self._reset(near)
                    continue
                try:
                    far = socket.create_connection(self.target)
                except OSError:
                    self._reset(near)
                    continue
                pair = (near, far)
                for source in pair:
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.pairs.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._relay, args=(source, sink, pair), daemon=True).start()

    def _relay(self, source, sink, pair):
        try:
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            with self.lock:
                if pair in self.pairs:
                    self.pairs.discard(pair)
                    self._end(pair)

    @staticmethod
    def _reset(connection):
        """Closes a socket so that the peer sees a reset, and not an orderly end."""
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        connection.close()

    def _end(self, pair):
        for connection in pair:
            self._reset(connection)

    def cut(self):
        """Resets every connection, on both sides. New ones are refused until `mend`."""
        with self.lock:
            self.closed = True
            for pair in self.pairs:
                self._end(pair)
            self.pairs.clear()

    def blink(self):
        """Resets every connection; clients may come back at once."""
        self.cut()
        self.mend()

    def mend(self):
        with self.lock:
            self.closed = False

    def close(self):
        self.cut()
        self.listener.close()
