"""Drives aiokafka for the compatibility suites."""

import asyncio
import os
import sys
import traceback
import uuid

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.helpers import create_ssl_context

from common import Progress, answer, describe, make_value, parse

BROKER = {"bootstrap_servers": sys.argv[1]}
if "KAFABRIC_TEST_CA" in os.environ:  # one that speaks TLS
    context = create_ssl_context(
        cafile=os.environ["KAFABRIC_TEST_CA"],
        certfile=os.environ["KAFABRIC_TEST_CERT"],
        keyfile=os.environ["KAFABRIC_TEST_KEY"],
    )
    BROKER |= {"security_protocol": "SSL", "ssl_context": context}
STRATEGIES = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}
producers = {}
members = {}
admins = []


async def admin():
    if not admins:
        admins.append(AIOKafkaAdminClient(**BROKER))
        await admins[0].start()
    return admins[0]


async def producer_for(codec, acks):
    if (codec, acks) not in producers:
        producer = AIOKafkaProducer(
            **BROKER,
            compression_type=None if codec == "none" else codec,
            acks="all" if acks == -1 else acks,
            enable_idempotence=acks == -1,
            max_request_size=20_000_000,
            max_batch_size=1_000_000,
            linger_ms=5,
        )
        await producer.start()
        producers[(codec, acks)] = producer
    return producers[(codec, acks)]


async def produce(topic, partition, codec, acks, records):
    producer = await producer_for(codec, acks)
    sent = []
    for record in records:
        future = await producer.send(
            topic,
            value=make_value(record),
            key=None if record["key"] is None else record["key"].encode(),
            partition=partition,
            timestamp_ms=record["timestamp"],
            headers=[(name, text.encode()) for name, text in record["headers"]],
        )
        sent.append(future)
    done = await asyncio.gather(*sent)
    return {"baseOffset": done[0].offset}


def make_consumer(**options):
    return AIOKafkaConsumer(
        **BROKER,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=20_000_000,
        fetch_max_wait_ms=200,
        **options,
    )


async def consume(topics):
    progress = Progress(topics)
    consumer = make_consumer(enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for topic, partition in progress.ends])
    for topic, partition in progress.ends:
        consumer.seek(TopicPartition(topic, partition), 0)
    while progress.left:
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            for r in batch:
                progress.add(describe(r.topic, r.partition, r.offset, r.key, r.value, r.headers, r.timestamp))
    await consumer.stop()
    return progress.records


class Member:
    """A group member that commits what it has handed over."""

    def __init__(self, group, topic, strategy):
        self.consumer = make_consumer(
            group_id=group,
            enable_auto_commit=False,
            session_timeout_ms=30_000,
            heartbeat_interval_ms=300,
            rebalance_timeout_ms=30_000,
            partition_assignment_strategy=[STRATEGIES[strategy]],
        )
        self.topic = topic
        self.seen = []
        self.stopping = False

    async def start(self):
        self.consumer.subscribe([self.topic])
        await self.consumer.start()
        self.task = asyncio.create_task(self.run())

    async def run(self):
        uncommitted = {}
        while not self.stopping:
            for partition, batch in (await self.consumer.getmany(timeout_ms=100)).items():
                self.seen.extend([partition.partition, r.offset] for r in batch)
                uncommitted[partition] = batch[-1].offset + 1
            for partition, offset in list(uncommitted.items()):
                try:
                    await self.consumer.commit({partition: offset})
                except CommitFailedError:
                    continue  # a rebalance is under way
                except IllegalStateError:
                    pass  # the partition has moved on; its next owner reads the records again
                del uncommitted[partition]

    async def stop(self):
        self.stopping = True
        await self.task
        await self.consumer.stop()


async def join(member, group, topic, strategy):
    members[member] = Member(group, topic, strategy)
    await members[member].start()


async def seen(member):
    taken = members[member].seen
    members[member].seen = []
    return taken


async def leave(member):
    gone = members.pop(member)
    await gone.stop()
    return gone.seen


async def create(topic, partitions, configs):
    new = NewTopic(topic, partitions, 1, topic_configs=configs)
    answered = await (await admin()).create_topics([new])
    failed = [error for error in answered.topic_errors if error[1] != 0]
    if failed:
        raise RuntimeError(str(failed))


async def delete(topic):
    await (await admin()).delete_topics([topic])


async def delete_records(topic, partition, offset):
    await (await admin()).delete_records({TopicPartition(topic, partition): RecordsToDelete(offset)})


async def lookup(topic, partition, timestamp):
    consumer = make_consumer()
    await consumer.start()
    where = TopicPartition(topic, partition)
    consumer.assign([where])
    found = await consumer.offsets_for_times({where: timestamp})
    await consumer.stop()
    return {"offset": found[where].offset if found[where] else -1}


async def hello():
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    return {"version": f"aiokafka {aiokafka.__version__}", "codecs": codecs, "strategies": list(STRATEGIES)}


OPERATIONS = {
    "hello": hello,
    "create": create,
    "delete": delete,
    "deleteRecords": delete_records,
    "lookup": lookup,
    "produce": produce,
    "consume": consume,
    "join": join,
    "seen": seen,
    "leave": leave,
}


async def handle(line):
    number, op, args = parse(line)
    try:
        answer({"id": number, "result": await OPERATIONS[op](**args)})
    except Exception:  # the harness reports it
        answer({"id": number, "error": traceback.format_exc()})


async def main():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await handle(line)


asyncio.run(main())
