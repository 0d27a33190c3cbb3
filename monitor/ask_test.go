package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestAskWithoutMonitor(t *testing.T) {
	s := newStore(t)
	none := func(Update) bool { t.Error("got an update"); return false }
	if err := Ask(context.Background(), s, uid, Request{}, none); !errors.Is(err, ErrNoMonitor) {
		t.Errorf("no run directory: got %v, want ErrNoMonitor", err)
	}
	hold(t, s).Close()
	if err := Ask(context.Background(), s, uid, Request{}, none); !errors.Is(err, ErrNoMonitor) {
		t.Errorf("no socket: got %v, want ErrNoMonitor", err)
	}
	control, err := listen(controlPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Ask(context.Background(), s, uid, Request{}, none); !errors.Is(err, ErrNoMonitor) {
		t.Errorf("a socket that nobody listens on: got %v, want ErrNoMonitor", err)
	}
}

// Whoever makes a pod holds its lock before there is a socket.
func TestAskWaitsForTheSocket(t *testing.T) {
	s := newStore(t)
	hold(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := Ask(ctx, s, uid, Request{}, func(Update) bool { return true }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want to wait until the context ends", err)
	}
	updates, _ := watch(s, Request{})
	time.Sleep(10 * time.Millisecond)
	control, err := listen(controlPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	m := &monitor{store: s, control: control}
	m.serve(m.control)
	m.board.post(phase(v1.PodPending))
	next(t, updates)
}

// One monitor dies with a client on the line; the next one answers.
func TestAskGoesOnWithTheNextMonitor(t *testing.T) {
	s := newStore(t)
	lock := hold(t, s)
	control, err := listen(controlPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	l, err := net.FileListener(control)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for range 3 { // two die before they answer, one after
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = bufio.NewReader(conn).ReadBytes('\n')
		_ = json.NewEncoder(conn).Encode(phase(v1.PodRunning))
		lock.Close() // and now pause goes too
		conn.Close()
	}()
	updates, failed := watch(s, Request{})
	if got := next(t, updates); got.Status == nil || got.Status.Phase != v1.PodRunning {
		t.Errorf("got %+v, want what the last monitor says", got)
	}
	if err := <-failed; !errors.Is(err, ErrNoMonitor) {
		t.Errorf("got %v, want ErrNoMonitor once nobody keeps the pod", err)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	m, s := answering(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		m.board.await(t, 1)
		cancel()
	}()
	within(t, 5*time.Second, "asking", func() {
		if err := Ask(ctx, s, uid, Request{}, func(Update) bool { return true }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}
