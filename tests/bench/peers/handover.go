// The hand-over workloads in Go, which has neither a broadcast nor a watch: both are built as Go programmers do it.
// usage: GOMAXPROCS=1 handover WORKLOAD N. Prints ns=<nanoseconds of the timed part> ops=<operations>.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const receivers = 4

// A channel per subscriber.
type broadcast struct{ subscribers []chan int }

func (b *broadcast) subscribe() <-chan int {
	c := make(chan int, 64)
	b.subscribers = append(b.subscribers, c)
	return c
}

func (b *broadcast) send(v int) {
	for _, c := range b.subscribers {
		c <- v
	}
}

// A value to four receivers, each of which acknowledges it; an operation is one delivery.
func broadcasts(n int) int {
	b, acks := &broadcast{}, make(chan int, receivers)
	for i := 0; i < receivers; i++ {
		values := b.subscribe()
		go func() {
			for v := range values {
				acks <- v
			}
		}()
	}
	for i := 0; i < n; i++ {
		b.send(i)
		for r := 0; r < receivers; r++ {
			<-acks
		}
	}
	return n * receivers
}

// A value and a channel that is closed when it changes.
type watch struct {
	mutex   sync.Mutex
	value   int
	changed chan struct{}
}

func newWatch() *watch { return &watch{changed: make(chan struct{})} }

func (w *watch) set(v int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.value = v
	close(w.changed)
	w.changed = make(chan struct{})
}

// Waits for a value other than the one seen.
func (w *watch) next(seen int) int {
	for {
		w.mutex.Lock()
		value, changed := w.value, w.changed
		w.mutex.Unlock()
		if value != seen {
			return value
		}
		<-changed
	}
}

// Round trips over two watches.
func watches(n int) int {
	there, back := newWatch(), newWatch()
	go func() {
		for seen := 0; seen < n; {
			seen = there.next(seen)
			back.set(seen)
		}
	}()
	for i := 1; i <= n; i++ {
		there.set(i)
		back.next(i - 1)
	}
	return n
}

// Starts so many tasks that each call `turn` so often, and waits for them.
func inTurn(tasks, times int, turn func()) int {
	var all sync.WaitGroup
	for i := 0; i < tasks; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < times; j++ {
				turn()
			}
		}()
	}
	all.Wait()
	return tasks * times
}

// Two tasks take turns with one mutex: each keeps it over a yield, so that the other waits.
func mutexes(n int) int {
	var m sync.Mutex
	return inTurn(2, n/2, func() {
		m.Lock()
		runtime.Gosched()
		m.Unlock()
	})
}

// Four tasks share two permits, each kept over a yield. A channel is Go's semaphore.
func semaphores(n int) int {
	permits := make(chan struct{}, 2)
	return inTurn(4, n/4, func() {
		permits <- struct{}{}
		runtime.Gosched()
		<-permits
	})
}

var workloads = map[string]func(int) int{
	"broadcast": broadcasts,
	"watch":     watches,
	"mutex":     mutexes,
	"semaphore": semaphores,
}

func main() {
	if len(os.Args) != 3 || workloads[os.Args[1]] == nil {
		os.Exit(3)
	}
	n, _ := strconv.Atoi(os.Args[2])
	begun := time.Now()
	ops := workloads[os.Args[1]](n)
	fmt.Printf("ns=%d ops=%d\n", time.Since(begun).Nanoseconds(), ops)
}
