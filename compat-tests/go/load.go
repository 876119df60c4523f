package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load writes records one after the other to every partition of a topic, through crashes of the broker, and remembers what
// was acknowledged. Record n of a partition has the key "n" and a content that follows from topic, partition and n.
//
// With acks=all the producer is idempotent and tries again for ever: every n is stored once, in order, without gaps.
// With acks=1 a record is sent once: it is stored at most once, in order, and gaps are those that failed.
type load struct {
	name       string
	topic      string
	idempotent bool
	minBytes   int
	maxBytes   int
	client     *kgo.Client
	cancel     context.CancelFunc
	writers    sync.WaitGroup
	paused     atomic.Bool
	partitions []*loadedPartition
}

type loadedPartition struct {
	mutex        sync.Mutex
	acknowledged map[int64]int64 // offset by n
	failed       int
	lastOffset   int64 // highest acknowledged
	next         int64
	verified     int64 // the offset up to which everything is checked
	lastSeen     int64 // the n of the record before it
}

// inFlight bounds what a partition's writer has sent and not heard of.
const inFlight = 32

func (l *load) value(partition int32, n int64) []byte {
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s/%d/%d", l.topic, partition, n)
	sum := int(hash.Sum32())
	return makeValue(l.minBytes+sum%(l.maxBytes-l.minBytes+1), sum%blockBytes)
}

func (d *driver) startLoad(args arguments) error {
	l := &load{
		name: args.Member, topic: args.Topic, idempotent: args.Acks == -1,
		minBytes: args.MinBytes, maxBytes: args.MaxBytes,
	}
	options := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[args.Codec]),
		kgo.ProducerLinger(2 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.RetryTimeout(5 * time.Minute),
		kgo.MetadataMinAge(50 * time.Millisecond),
	}
	if !l.idempotent {
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
	}
	client, err := d.client(options...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.client, l.cancel = client, cancel
	for partition := int32(0); partition < args.Partitions; partition++ {
		p := &loadedPartition{acknowledged: map[int64]int64{}, lastOffset: -1, lastSeen: -1}
		l.partitions = append(l.partitions, p)
		l.writers.Add(1)
		go l.write(ctx, partition, p, time.Duration(args.PauseMicros)*time.Microsecond)
	}
	d.loads[l.name] = l
	return nil
}

func (l *load) write(ctx context.Context, partition int32, p *loadedPartition, pause time.Duration) {
	defer l.writers.Done()
	slots := make(chan struct{}, inFlight)
	for ; ctx.Err() == nil; time.Sleep(pause) {
		if l.paused.Load() {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		n := p.next
		p.next++
		record := &kgo.Record{Topic: l.topic, Partition: partition, Key: []byte(fmt.Sprint(n)), Value: l.value(partition, n)}
		l.client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
			p.mutex.Lock()
			if err != nil {
				p.failed++
			} else {
				p.acknowledged[n] = record.Offset
				p.lastOffset = max(p.lastOffset, record.Offset)
			}
			p.mutex.Unlock()
			if err != nil {
				time.Sleep(10 * time.Millisecond) // the broker is away
			}
			<-slots
		})
	}
}

// stop ends the writers and waits for what they have sent.
func (l *load) stop(ctx context.Context) error {
	l.cancel()
	l.writers.Wait()
	return l.client.Flush(ctx)
}

type loadReport struct {
	Acknowledged int      `json:"acknowledged"`
	Failed       int      `json:"failed"`
	Verified     int64    `json:"verified"`
	Problems     []string `json:"problems"`
}

func (l *load) report() loadReport {
	report := loadReport{Problems: []string{}}
	for _, p := range l.partitions {
		p.mutex.Lock()
		report.Acknowledged += len(p.acknowledged)
		report.Failed += p.failed
		report.Verified += p.verified
		p.mutex.Unlock()
	}
	return report
}

// verify reads what was written since the last call (or everything again), up to the last acknowledged record at the time of the
// call, and compares it with what was sent and acknowledged.
func (d *driver) verify(ctx context.Context, l *load, fromStart bool) (loadReport, error) {
	var problems []string
	for partition, p := range l.partitions {
		if fromStart {
			p.verified, p.lastSeen = 0, -1
		}
		found, err := d.verifyPartition(ctx, l, int32(partition), p)
		problems = append(problems, found...)
		if err != nil {
			return loadReport{}, fmt.Errorf("%s/%d after offset %d: %w %v", l.topic, partition, p.verified, err, problems)
		}
	}
	report := l.report()
	report.Problems = append(report.Problems, problems...)
	return report, nil
}

func (d *driver) verifyPartition(ctx context.Context, l *load, partition int32, p *loadedPartition) ([]string, error) {
	p.mutex.Lock()
	end := p.lastOffset + 1
	p.mutex.Unlock()
	if p.verified >= end {
		return nil, nil
	}
	start := map[int32]kgo.Offset{partition: kgo.NewOffset().At(p.verified)}
	client, err := d.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic: start}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var problems []string
	for p.verified < end {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return problems, err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if problem := l.check(record, partition, p); problem != "" && len(problems) < 20 {
				problems = append(problems, problem)
			}
		})
	}
	return problems, nil
}

// check compares one record with what was sent; "" when all is well.
func (l *load) check(record *kgo.Record, partition int32, p *loadedPartition) string {
	where := fmt.Sprintf("%s/%d@%d", l.topic, partition, record.Offset)
	var n int64
	if _, err := fmt.Sscan(string(record.Key), &n); err != nil {
		return fmt.Sprintf("%s: strange key %q", where, record.Key)
	}
	before, expectedOffset := p.lastSeen, p.verified
	p.lastSeen, p.verified = n, record.Offset+1
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch offset, acknowledged := p.acknowledged[n]; {
	case record.Offset != expectedOffset:
		return fmt.Sprintf("%s: offset %d is missing", where, expectedOffset)
	case n <= before:
		return fmt.Sprintf("%s: record %d after %d: stored twice or out of order", where, n, before)
	case acknowledged && offset != record.Offset:
		return fmt.Sprintf("%s: record %d was acknowledged at %d", where, n, offset)
	case !bytes.Equal(record.Value, l.value(partition, n)):
		return fmt.Sprintf("%s: record %d has another content (%d bytes)", where, n, len(record.Value))
	}
	for lost := before + 1; lost < n; lost++ {
		if offset, acknowledged := p.acknowledged[lost]; acknowledged {
			return fmt.Sprintf("%s: record %d, but record %d, acknowledged at %d, is lost", where, n, lost, offset)
		}
		if l.idempotent {
			return fmt.Sprintf("%s: gap, record %d is not there", where, lost)
		}
	}
	return ""
}

func (d *driver) handleLoad(ctx context.Context, args arguments) (any, error) {
	l := d.loads[args.Member]
	if args.Op == "loadStart" {
		return nil, d.startLoad(args)
	}
	if l == nil {
		return nil, errors.New("no such load")
	}
	switch args.Op {
	case "loadStop":
		return l.report(), l.stop(ctx)
	case "loadPause", "loadResume":
		l.paused.Store(args.Op == "loadPause")
		return l.report(), nil
	case "loadVerify":
		return d.verify(ctx, l, args.FromStart)
	default:
		return l.report(), nil
	}
}
