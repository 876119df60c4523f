"""Drives confluent-kafka (librdkafka) for the compatibility suites."""

import os
import sys
import threading
import uuid

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from common import Progress, describe, make_value, serve

COMMON = {"bootstrap.servers": sys.argv[1], "client.id": "compat-confluent-python"}
if "KAFABRIC_TEST_CA" in os.environ:  # of brokers that speak TLS
    COMMON |= {
        "security.protocol": "ssl",
        "ssl.ca.location": os.environ["KAFABRIC_TEST_CA"],
        "ssl.certificate.location": os.environ["KAFABRIC_TEST_CERT"],
        "ssl.key.location": os.environ["KAFABRIC_TEST_KEY"],
    }
admin = AdminClient(COMMON)
producers = {}
members = {}


def producer_for(codec, acks):
    """Compression and acknowledgement belong to a producer here."""
    if (codec, acks) not in producers:
        producers[(codec, acks)] = Producer(
            {
                **COMMON,
                "compression.type": codec,
                "acks": acks,
                "enable.idempotence": acks == -1,
                "message.max.bytes": 20_000_000,
                "linger.ms": 5,
            }
        )
    return producers[(codec, acks)]


def produce(topic, partition, codec, acks, records):
    producer = producer_for(codec, acks)
    offsets, errors = [], []

    def delivered(error, message):
        (errors if error else offsets).append(error or message.offset())

    for record in records:
        producer.produce(
            topic,
            value=make_value(record),
            key=record["key"],
            partition=partition,
            headers=[(name, text.encode()) for name, text in record["headers"]],
            timestamp=record["timestamp"],
            on_delivery=delivered,
        )
    left = producer.flush(60)
    if errors or left:
        raise KafkaException(errors[0] if errors else f"{left} records not delivered")
    return {"baseOffset": offsets[0]}


def make_consumer(group, **options):
    return Consumer(
        {
            **COMMON,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 20_000_000,
            "fetch.wait.max.ms": 200,
            **options,
        }
    )


def consume(topics):
    progress = Progress(topics)
    consumer = make_consumer(f"compat-{uuid.uuid4()}", **{"enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in progress.ends])
    while progress.left:
        for message in consumer.consume(500, 0.5):
            if message.error():
                raise KafkaException(message.error())
            progress.add(
                describe(
                    message.topic(),
                    message.partition(),
                    message.offset(),
                    message.key(),
                    message.value(),
                    message.headers(),
                    message.timestamp()[1],
                )
            )
    consumer.close()
    return progress.records


class Member(threading.Thread):
    """A group member that commits what it has handed over."""

    def __init__(self, group, topic, strategy):
        super().__init__(daemon=True)
        options = {"enable.auto.commit": False}
        if strategy.startswith("consumer-"):
            # An assignor of the broker: the consumer protocol (KIP-848).
            options["group.protocol"] = "consumer"
            options["group.remote.assignor"] = strategy.removeprefix("consumer-")
        else:
            options["session.timeout.ms"] = 30_000
            options["heartbeat.interval.ms"] = 300
            options["partition.assignment.strategy"] = strategy
        self.consumer = make_consumer(group, **options)
        self.consumer.subscribe([topic])
        self.seen = []
        self.stopping = False
        self.start()

    def commit(self, **what):
        """False while a rebalance is under way."""
        try:
            self.consumer.commit(asynchronous=False, **what)
        except KafkaException as failure:
            code = failure.args[0].code()
            rebalancing = (
                KafkaError.REBALANCE_IN_PROGRESS,
                KafkaError.ILLEGAL_GENERATION,
                KafkaError.UNKNOWN_MEMBER_ID,
                KafkaError._STATE,
                KafkaError._ASSIGNMENT_LOST,
                KafkaError.STALE_MEMBER_EPOCH,
            )
            if code in rebalancing:
                return False
            if code != KafkaError._NO_OFFSET:
                print(failure, file=sys.stderr)
        return True

    def run(self):
        is_committed = True
        while not self.stopping:
            message = self.consumer.poll(0.1)
            if message is None:
                # What is not another's by now.
                is_committed = is_committed or self.commit()
                continue
            if message.error():
                print(message.error(), file=sys.stderr)
                continue
            self.seen.append([message.partition(), message.offset()])
            is_committed = self.commit(message=message) and is_committed
        self.consumer.close()


def join(member, group, topic, strategy):
    members[member] = Member(group, topic, strategy)


def seen(member):
    count = len(members[member].seen)
    taken = members[member].seen[:count]
    del members[member].seen[:count]
    return taken


def leave(member):
    gone = members.pop(member)
    gone.stopping = True
    gone.join(30)
    return gone.seen


def create(topic, partitions, configs):
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config=configs)]).values():
        future.result(30)


def delete(topic):
    for future in admin.delete_topics([topic]).values():
        future.result(30)


def delete_records(topic, partition, offset):
    for future in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        future.result(30)


def lookup(topic, partition, timestamp):
    consumer = make_consumer("compat-lookup")
    found = consumer.offsets_for_times([TopicPartition(topic, partition, timestamp)], timeout=120)
    consumer.close()
    return {"offset": found[0].offset}


def hello():
    version = f"confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}"
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    return {"version": version, "codecs": codecs, "strategies": ["range", "roundrobin", "cooperative-sticky"]}


serve(
    {
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
)
