"""Many senders at once, and one: plain sockets, so that a test knows what went over the wire."""

import asyncio
import collections
import http.client
import time
from urllib.parse import urlsplit

Answer = collections.namedtuple("Answer", "status headers body seconds")


def post(url, body=b"", headers=None, method="POST", timeout=15):
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    started = time.monotonic()
    try:
        connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body=body or None,
                           headers=headers or {})
        reply = connection.getresponse()
        data = reply.read()
        return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, data, time.monotonic() - started)
    finally:
        connection.close()


def request_bytes(url, body, headers, close=True):
    parts = urlsplit(url)
    lines = ["POST %s HTTP/1.1" % parts.path, "Host: " + parts.netloc, "Content-Length: %d" % len(body)]
    lines += ["%s: %s" % item for item in headers.items()]
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Result:
    """What became of one event of a storm: status 0 = no whole answer."""

    __slots__ = ("tag", "status", "seconds", "started")

    def __init__(self, tag, status, seconds, started):
        self.tag, self.status, self.seconds, self.started = tag, status, seconds, started


async def _send(host, port, data, timeout):
    writer = None
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), timeout)
        if answer.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in answer:
            return int(answer[9:12])
        return 0
    except (OSError, asyncio.TimeoutError, ValueError):
        return 0
    finally:
        if writer is not None:
            writer.close()


async def storm_async(url, items, senders=32, pause=0.0, until=None, timeout=15.0, answered=None):
    """items: iterator of (tag, request bytes), each sent once on a fresh connection. Ends with the items, or when until() says so."""
    parts = urlsplit(url)
    iterator = iter(items)
    results = []

    async def sender():
        while until is None or not until():
            try:
                tag, data = next(iterator)
            except StopIteration:
                return
            started = time.monotonic()
            status = await _send(parts.hostname, parts.port, data, timeout)
            result = Result(tag, status, time.monotonic() - started, started)
            results.append(result)
            if answered is not None:
                answered(result)
            if pause:
                await asyncio.sleep(pause)

    await asyncio.gather(*(sender() for _ in range(senders)))
    return results


def storm(url, items, senders=32, **more):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(storm_async(url, items, senders, **more))
    finally:
        loop.close()


def deliver(url, items, senders=32, deadline=60, **more):
    """A storm by senders that send again what is answered 503, as Partner Center does: on a slow disk not all is durable in time.

    The last answers, one for each item.
    """
    left = {tag: (tag, data) for tag, data in items}
    answers, end = {}, time.monotonic() + deadline
    while left:
        for result in storm(url, list(left.values()), senders, **more):
            answers[result.tag] = result
        left = {tag: item for tag, item in left.items() if answers[tag].status == 503}
        assert not left or time.monotonic() < end, "%d of %d are still answered 503 after %d s" % (len(left), len(answers), deadline)
    return list(answers.values())
