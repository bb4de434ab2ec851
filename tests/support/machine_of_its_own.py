"""Runs words on what looks like a machine of its own, under `unshare -n -m`: with another
/etc, and a TLS server on port 443 of localhost that answers whatever it is asked.

    machine_of_its_own.py ETC CERTIFICATE KEY WORDS...

Prints an object: how the words ended, what they printed, and which tokens were sent.
"""

import fcntl
import json
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
ANSWER = json.dumps({"success": True, "queue": {"state": "open", "queued": 0, "running": 0,
                                                "slots": 3}}).encode()


def bring_up_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def serve(listener, context, tokens):
    while True:
        client, _ = listener.accept()
        try:
            with context.wrap_socket(client, server_side=True) as stream:
                request = b""
                while b"\r\n\r\n" not in request and (part := stream.recv(65536)):
                    request += part
                tokens += re.findall(r"(?im)^authorization: bearer (\S+)", request.decode())
                stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                               % (len(ANSWER), ANSWER))
        except OSError:
            pass  # the client did not like what it saw


def main():
    etc, certificate, key, *words = sys.argv[1:]
    bring_up_loopback()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener, tokens = socket.create_server(("127.0.0.1", 443)), []
    threading.Thread(target=serve, args=(listener, context, tokens), daemon=True).start()
    subprocess.run(["mount", "--bind", etc, "/etc"], check=True)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    print(json.dumps({"status": done.returncode, "out": done.stdout, "err": done.stderr,
                      "tokens": tokens}))


main()
