#!/usr/bin/python3
"""
A receiver of webhooks that is as quick as Python can be: it answers 204 and writes
`path webhook-id event job` of every delivery to the file named, in the order of arrival.
Prints its port. Ends with its standard input.
"""

import asyncio
import re
import sys

HEAD = re.compile(rb"POST (\S+) .*?\r\nX-Webhook-Event: (\S+)\r\n.*?webhook-id: (\S+)\r\n.*?"
                  rb"Content-Length: (\d+)", re.S)
JOB = re.compile(rb'"job_id":"(\d+)"')
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver(asyncio.Protocol):
    def __init__(self, log):
        self.log, self.kept = log, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.kept += data
        while (end := self.kept.find(b"\r\n\r\n")) >= 0:
            path, event, delivery, length = HEAD.match(self.kept).groups()
            whole = end + 4 + int(length)
            if len(self.kept) < whole:
                return
            job = JOB.search(self.kept, end)
            self.kept = self.kept[whole:]
            self.log.write(b" ".join((path, delivery, event, job[1] if job else b"-")) + b"\n")
            self.transport.write(ANSWER)


async def main():
    loop = asyncio.get_running_loop()
    with open(sys.argv[1], "wb", buffering=1 << 16) as log:
        server = await loop.create_server(lambda: Receiver(log), "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
