"""A transfer by the kernel's TCP (its default congestion control, CUBIC on Linux) over the emulated link.

    transfer.py recv ADDRESS     takes what comes; for each line on stdin it writes how many bytes that was so far
    transfer.py send ADDRESS     sends for as long as stdin is open
"""
import select
import socket
import subprocess
import sys

PORT, PIECE = 5001, 65536


class Transfer:
    """with Transfer(namespaces, address) as transfer: transfer.received()"""

    def __init__(self, namespaces, address):
        self.namespaces, self.address, self.processes = namespaces, address, []

    def __enter__(self):
        try:
            for role, namespace in zip(("recv", "send"), reversed(self.namespaces)):
                command = ["ip", "netns", "exec", namespace, sys.executable, __file__, role, self.address]
                self.processes.append(subprocess.Popen(command, text=True, stdin=subprocess.PIPE,
                                                       stdout=subprocess.PIPE))
                self.processes[-1].stdout.readline()  # "ready": it listens, or is connected
        except BaseException:
            self.__exit__()
            raise
        return self

    def received(self):
        receiver = self.processes[0]
        receiver.stdin.write("\n")
        receiver.stdin.flush()
        return int(receiver.stdout.readline())

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def receive(address):
    server = socket.create_server((address, PORT))
    print("ready", flush=True)
    total, sources = 0, [server, sys.stdin]
    while True:
        for source in select.select(sources, [], [])[0]:
            if source is server:
                sources.append(server.accept()[0])
            elif source is sys.stdin:
                if not sys.stdin.readline():
                    return
                print(total, flush=True)
            elif piece := source.recv(PIECE):
                total += len(piece)
            else:
                sources.remove(source)


def send(address):
    with socket.create_connection((address, PORT), timeout=20) as connection:
        print("ready", flush=True)
        connection.setblocking(False)
        piece = bytes(PIECE)
        while True:
            readable, writable, _ = select.select([sys.stdin], [connection], [])
            if readable:
                return
            if writable:
                connection.send(piece)


if __name__ == "__main__":
    {"recv": receive, "send": send}[sys.argv[1]](sys.argv[2])
