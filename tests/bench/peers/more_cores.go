// Channels between goroutines on two threads.
// usage: GOMAXPROCS=2 more_cores WORKLOAD N. Prints ns=<nanoseconds of the timed part> ops=<operations>.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Values through a buffered channel.
func throughput(n int) int {
	values, sum := make(chan int, 128), make(chan int)
	go func() {
		total := 0
		for v := range values {
			total += v
		}
		sum <- total
	}()
	for i := 0; i < n; i++ {
		values <- i
	}
	close(values)
	if <-sum != n*(n-1)/2 {
		panic("sum")
	}
	return n
}

// A value there and one back, over two channels of capacity 1.
func roundtrip(n int) int {
	there, back := make(chan int, 1), make(chan int, 1)
	go func() {
		for v := range there {
			back <- v
		}
	}()
	for i := 0; i < n; i++ {
		there <- i
		if <-back != i {
			panic("value")
		}
	}
	return n
}

func main() {
	n, err := strconv.Atoi(os.Args[2])
	workloads := map[string]func(int) int{"throughput": throughput, "roundtrip": roundtrip}
	run := workloads[os.Args[1]]
	if err != nil || run == nil {
		os.Exit(3)
	}
	begun := time.Now()
	ops := run(n)
	fmt.Printf("ns=%d ops=%d\n", time.Since(begun).Nanoseconds(), ops)
}
