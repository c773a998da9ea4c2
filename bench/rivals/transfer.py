"""A transfer by the kernel's TCP over the emulated link, with the congestion control that is named: a machine's default
need not be CUBIC.

    transfer.py recv ADDRESS             takes what comes; for each line on stdin it writes how many bytes that was so far
    transfer.py send ADDRESS CONTROL     sends for as long as stdin is open; CONTROL as in tcp_available_congestion_control
"""
import select
import socket
import subprocess
import sys

PORT, PIECE = 5001, 65536


class Transfer:
    """with Transfer(namespaces, address, "cubic") as transfer: transfer.received()"""

    def __init__(self, namespaces, address, control):
        self.namespaces, self.processes = namespaces, []
        self.roles = ("recv", address), ("send", address, control)

    def __enter__(self):
        try:
            for role, namespace in zip(self.roles, reversed(self.namespaces)):
                command = ["ip", "netns", "exec", namespace, sys.executable, __file__, *role]
                self.processes.append(subprocess.Popen(command, text=True, stdin=subprocess.PIPE,
                                                       stdout=subprocess.PIPE))
                # "ready": it listens, or is connected
                if not self.processes[-1].stdout.readline():
                    raise SystemExit(f"transfer: {' '.join(role)} did not begin; `modprobe tcp_{role[-1]}`?"
                                     if role[0] == "send" else "transfer: nobody listens")
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


def send(address, control):
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        connection.settimeout(20)
        connection.connect((address, PORT))
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
    {"recv": receive, "send": send}[sys.argv[1]](*sys.argv[2:])
