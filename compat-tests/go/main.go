// Drives franz-go for the compatibility suites; the protocol is in ../harness/driver-loop.ts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type header [2]string

type plannedRecord struct {
	Key       *string  `json:"key"`
	Size      int      `json:"size"`
	Seed      int      `json:"seed"`
	Headers   []header `json:"headers"`
	Timestamp int64    `json:"timestamp"`
}

type seenRecord struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       *string  `json:"key"`
	Size      int      `json:"size"`
	Digest    string   `json:"digest"`
	Headers   []header `json:"headers"`
	Timestamp int64    `json:"timestamp"`
}

type topicEnds struct {
	Topic string  `json:"topic"`
	Ends  []int64 `json:"ends"`
}

// arguments of all operations; each reads its own.
type arguments struct {
	ID         int64              `json:"id"`
	Op         string             `json:"op"`
	Topic      string             `json:"topic"`
	Topics     []topicEnds        `json:"topics"`
	Partition  int32              `json:"partition"`
	Partitions int32              `json:"partitions"`
	Configs    map[string]*string `json:"configs"`
	Codec      string             `json:"codec"`
	Acks       int                `json:"acks"`
	Records    []plannedRecord    `json:"records"`
	Offset     int64              `json:"offset"`
	Timestamp  int64              `json:"timestamp"`
	Member     string             `json:"member"`
	Group      string             `json:"group"`
	Strategy   string             `json:"strategy"`

	MinBytes    int  `json:"minBytes"`
	MaxBytes    int  `json:"maxBytes"`
	PauseMicros int  `json:"pauseMicros"`
	FromStart   bool `json:"fromStart"`
}

type driver struct {
	bootstrap string
	admin     *kadm.Client
	producers map[string]*kgo.Client
	members   map[string]*member
	loads     map[string]*load
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func (d *driver) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(d.bootstrap), kgo.ClientID("compat-franz-go")}, options...)...)
}

func (d *driver) producer(codec string, acks int) (*kgo.Client, error) {
	name := fmt.Sprint(codec, acks)
	if client := d.producers[name]; client != nil {
		return client, nil
	}
	options := []kgo.Opt{
		kgo.ProducerBatchCompression(codecs[codec]),
		kgo.ProducerBatchMaxBytes(20_000_000),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5 * time.Millisecond),
	}
	if acks != -1 {
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	}
	client, err := d.client(options...)
	if err == nil {
		d.producers[name] = client
	}
	return client, err
}

func (d *driver) produce(ctx context.Context, args arguments) (any, error) {
	client, err := d.producer(args.Codec, args.Acks)
	if err != nil {
		return nil, err
	}
	records := make([]*kgo.Record, len(args.Records))
	for i, planned := range args.Records {
		record := &kgo.Record{
			Topic:     args.Topic,
			Partition: args.Partition,
			Value:     makeValue(planned.Size, planned.Seed),
			Timestamp: time.UnixMilli(planned.Timestamp),
		}
		if planned.Key != nil {
			record.Key = []byte(*planned.Key)
		}
		for _, h := range planned.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
		}
		records[i] = record
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, err
	}
	return map[string]int64{"baseOffset": records[0].Offset}, nil
}

func describe(record *kgo.Record) seenRecord {
	seen := seenRecord{
		Topic: record.Topic, Partition: record.Partition, Offset: record.Offset, Size: -1,
		Headers: []header{}, Timestamp: record.Timestamp.UnixMilli(),
	}
	if record.Key != nil {
		key := string(record.Key)
		seen.Key = &key
	}
	if record.Value != nil {
		seen.Size = len(record.Value)
		seen.Digest = digest(record.Value)
	}
	for _, h := range record.Headers {
		seen.Headers = append(seen.Headers, header{h.Key, string(h.Value)})
	}
	return seen
}

func (d *driver) consume(ctx context.Context, args arguments) (any, error) {
	type place struct {
		topic     string
		partition int32
	}
	ends := map[place]int64{}
	start := map[string]map[int32]kgo.Offset{}
	for _, topic := range args.Topics {
		start[topic.Topic] = map[int32]kgo.Offset{}
		for partition, end := range topic.Ends {
			if end > 0 {
				ends[place{topic.Topic, int32(partition)}] = end
				start[topic.Topic][int32(partition)] = kgo.NewOffset().At(0)
			}
		}
	}
	client, err := d.client(kgo.ConsumePartitions(start), kgo.FetchMaxPartitionBytes(20_000_000), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	seen := []seenRecord{}
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			seen = append(seen, describe(record))
			where := place{record.Topic, record.Partition}
			if record.Offset+1 >= ends[where] {
				delete(ends, where)
			}
		})
	}
	return seen, nil
}

func (d *driver) handle(ctx context.Context, args arguments) (any, error) {
	switch args.Op {
	case "hello":
		version := "unknown"
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, dep := range info.Deps {
				if dep.Path == "github.com/twmb/franz-go" {
					version = dep.Version
				}
			}
		}
		return map[string]any{
			"version":    "franz-go " + version,
			"codecs":     []string{"none", "gzip", "snappy", "lz4", "zstd"},
			"strategies": []string{"range", "roundrobin", "sticky", "cooperative-sticky"},
		}, nil
	case "create":
		_, err := d.admin.CreateTopic(ctx, args.Partitions, 1, args.Configs, args.Topic)
		return nil, err
	case "delete":
		_, err := d.admin.DeleteTopic(ctx, args.Topic)
		for _, producer := range d.producers {
			producer.PurgeTopicsFromClient(args.Topic) // a topic of this name may be created again
		}
		return nil, err
	case "deleteRecords":
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: args.Topic, Partition: args.Partition, At: args.Offset})
		answers, err := d.admin.DeleteRecords(ctx, offsets)
		if err == nil {
			err = answers.Error()
		}
		return nil, err
	case "lookup":
		found, err := d.admin.ListOffsetsAfterMilli(ctx, args.Timestamp, args.Topic)
		if err == nil {
			err = found.Error()
		}
		offset, _ := found.Lookup(args.Topic, args.Partition)
		return map[string]int64{"offset": offset.Offset}, err
	case "produce":
		return d.produce(ctx, args)
	case "consume":
		return d.consume(ctx, args)
	case "join":
		return nil, d.join(args)
	case "seen":
		return d.members[args.Member].take(), nil
	case "leave":
		gone := d.members[args.Member]
		delete(d.members, args.Member)
		gone.leave()
		return gone.take(), nil
	case "loadStart", "loadStop", "loadVerify", "loadPause", "loadResume":
		return d.handleLoad(ctx, args)
	}
	return nil, fmt.Errorf("unknown operation %s", args.Op)
}

// patience says how many times longer things may take on a slow machine (KAFABRIC_TEST_PATIENCE).
func patience() time.Duration {
	times, err := strconv.Atoi(os.Getenv("KAFABRIC_TEST_PATIENCE"))
	if err != nil || times < 1 {
		return 1
	}
	return time.Duration(times)
}

func main() {
	d := &driver{bootstrap: os.Args[1], producers: map[string]*kgo.Client{}, members: map[string]*member{}, loads: map[string]*load{}}
	client, err := d.client()
	if err != nil {
		panic(err)
	}
	d.admin = kadm.NewClient(client)
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<26)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		var args arguments
		if err := json.Unmarshal(input.Bytes(), &args); err != nil {
			panic(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience()*4*time.Minute)
		result, err := d.handle(ctx, args)
		cancel()
		answer := map[string]any{"id": args.ID, "result": result}
		if err != nil {
			answer = map[string]any{"id": args.ID, "error": err.Error()}
		}
		_ = output.Encode(answer)
	}
}
