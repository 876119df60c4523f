"""Events by the Avro serializers of confluent-kafka; see AvroCheck.java for the arguments."""

import hashlib
import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

DEADLINE_S = 60

mode, bootstrap, registry_url, schema, count = sys.argv[1:6]
topics = sys.argv[6:]
# A registry that has just started may leave a request without an answer; the client asks again.
registry = SchemaRegistryClient({"url": f"{registry_url}/apis/ccompat/v7", "timeout": 10})


def blob(number):
    size = 100_000 if number % 10 == 9 else number
    return bytes((number + i) % 251 for i in range(size))


def write(topic):
    serialize = AvroSerializer(registry, schema)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for number in range(int(count)):
        event = {"name": f"event {number}", "number": number, "blob": blob(number)}
        value = serialize(event, SerializationContext(topic, MessageField.VALUE))
        producer.produce(topic, key=str(number), value=value)
    if producer.flush(DEADLINE_S) > 0:
        sys.exit("not all is acknowledged")


def said(event):
    return f"{event['name']} {event['number']} {hashlib.sha256(event['blob']).hexdigest()[:16]}"


def read():
    deserialize = AvroDeserializer(registry)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "avro-python", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for topic in topics for index in range(2)])
    found = {}
    missing = int(count) * len(topics)
    deadline = time.monotonic() + DEADLINE_S
    while missing > 0 and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None or message.error():
            continue
        event = deserialize(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
        found.setdefault(message.topic(), []).append(said(event))
        missing -= 1
    consumer.close()
    print("RESULT " + json.dumps(found))


if mode == "write":
    write(topics[0])
else:
    read()
