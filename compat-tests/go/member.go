package main

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var balancers = map[string]kgo.GroupBalancer{
	"range":              kgo.RangeBalancer(),
	"roundrobin":         kgo.RoundRobinBalancer(),
	"sticky":             kgo.StickyBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

// member of a group; commits what it has handed over, and blocks rebalances until it has.
type member struct {
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}
	mutex  sync.Mutex
	seen   [][2]int64
}

func (d *driver) join(args arguments) error {
	client, err := d.client(
		kgo.ConsumerGroup(args.Group),
		kgo.ConsumeTopics(args.Topic),
		kgo.Balancers(balancers[args.Strategy]),
		kgo.SessionTimeout(30*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.RebalanceTimeout(30*time.Second),
		kgo.FetchMaxWait(200*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{client: client, cancel: cancel, done: make(chan struct{}), seen: [][2]int64{}}
	d.members[args.Member] = m
	go m.run(ctx)
	return nil
}

func (m *member) run(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		// Not for ever: what could not be committed while the group was rebalancing is committed then.
		polling, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := m.client.PollRecords(polling, 100)
		stop()
		m.mutex.Lock()
		fetches.EachRecord(func(record *kgo.Record) {
			m.seen = append(m.seen, [2]int64{int64(record.Partition), record.Offset})
		})
		m.mutex.Unlock()
		_ = m.client.CommitUncommittedOffsets(context.Background())
		m.client.AllowRebalance()
	}
}

func (m *member) take() [][2]int64 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	taken := m.seen
	m.seen = [][2]int64{}
	return taken
}

func (m *member) leave() {
	m.cancel()
	<-m.done
	m.client.CloseAllowingRebalance()
}
