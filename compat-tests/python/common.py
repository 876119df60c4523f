"""What the Python drivers share; the protocol is in ../harness/driver-loop.ts, the content of records in ../harness/payload.ts."""

import array
import hashlib
import json
import sys
import traceback

BLOCK_BYTES = 1 << 20


def _noise():
    words = array.array("I", bytes(BLOCK_BYTES))
    state = 0x9E3779B9
    for i in range(len(words)):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        words[i] = state
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes() * 2


_doubled_noise = None


def make_value(record):
    global _doubled_noise
    size, seed = record["size"], record["seed"]
    if size < 0:
        return None
    _doubled_noise = _doubled_noise or _noise()
    period = 64 if seed % 4 == 3 else BLOCK_BYTES
    start = (seed * 4099) % BLOCK_BYTES
    unit = _doubled_noise[start : start + period]
    return (unit * (size // period + 1))[:size]


def describe(topic, partition, offset, key, value, headers, timestamp):
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": None if key is None else key.decode(),
        "size": -1 if value is None else len(value),
        "digest": "" if value is None else hashlib.sha256(value).hexdigest()[:16],
        "headers": [[name, text.decode()] for name, text in headers or []],
        "timestamp": timestamp,
    }


class Progress:
    """Counts consumed records against the end offsets of every partition."""

    def __init__(self, topics):
        self.records = []
        self.ends = {
            (entry["topic"], partition): end
            for entry in topics
            for partition, end in enumerate(entry["ends"])
            if end > 0
        }
        self.left = set(self.ends)

    def add(self, record):
        partition = (record["topic"], record["partition"])
        self.records.append(record)
        if record["offset"] + 1 >= self.ends[partition]:
            self.left.discard(partition)


def answer(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def parse(line):
    request = json.loads(line)
    return request.pop("id"), request.pop("op"), request


def serve(operations):
    """The loop of a driver whose operations are plain functions."""
    for line in sys.stdin:
        number, op, args = parse(line)
        try:
            answer({"id": number, "result": operations[op](**args)})
        except Exception:  # the harness reports it
            answer({"id": number, "error": traceback.format_exc()})
