package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// resp is a connection with a minimal RESP encoder and decoder.
type resp struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

// command buffers a command.
func (r *resp) command(words ...string) {
	r.out = append(strconv.AppendInt(append(r.out, '*'), int64(len(words)), 10), '\r', '\n')
	for _, w := range words {
		r.out = append(strconv.AppendInt(append(r.out, '$'), int64(len(w)), 10), '\r', '\n')
		r.out = append(append(r.out, w...), '\r', '\n')
	}
}

// flush sends the buffered commands.
func (r *resp) flush() error {
	_, err := r.conn.Write(r.out)
	r.out = r.out[:0]
	return err
}

// reply reads a reply. It passes the bulk strings in it to each, unless each is nil.
func (r *resp) reply(each func(string)) error {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	kind := line[0]
	if kind == '-' {
		return errors.New(string(line))
	}
	n, _ := strconv.Atoi(string(line[1 : len(line)-2]))
	switch kind {
	case '$':
		if n < 0 {
			return nil
		}
		if each == nil {
			_, err = r.in.Discard(n + 2)
			return err
		}
		text := make([]byte, n+2)
		for at := 0; at < len(text); {
			m, err := r.in.Read(text[at:])
			if err != nil {
				return err
			}
			at += m
		}
		each(string(text[:n]))
	case '*':
		for range n {
			if err := r.reply(each); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) dialRESP() (*resp, error) {
	conn, err := net.Dial("tcp", b.RedisAddr)
	return &resp{conn: conn, in: bufio.NewReaderSize(conn, 1<<16)}, err
}

// respLives sends the same commands as goredisLives over hand-written connections.
func (b *bench) respLives(ctx context.Context, n int) (time.Duration, error) {
	b.Raw.XGroupCreateMkStream(ctx, rawStream, rawGroup, "0")
	return timed(func() error {
		return inLanes(n, func(lane, n int) error {
			r, err := b.dialRESP()
			if err != nil {
				return err
			}
			defer r.conn.Close()
			consumer := fmt.Sprint("w", lane)
			for done := 0; done < n; {
				size := min(batch, n-done)
				for i := range size {
					job := jobName(lane, done+i)
					r.command(append([]string{"XADD", rawStream, "*"}, taskFields(job)...)...)
					r.command(append([]string{"HSET", "argus:job_state:" + job}, firstState...)...)
					r.command("PEXPIRE", "argus:job_state:"+job, ttl)
				}
				if err := r.flush(); err != nil {
					return err
				}
				for range 3 * size {
					if err := r.reply(nil); err != nil {
						return err
					}
				}
				for read := 0; read < size; {
					r.command("XREADGROUP", "GROUP", rawGroup, consumer, "COUNT", strconv.Itoa(size-read), "STREAMS", rawStream, ">")
					if err := r.flush(); err != nil {
						return err
					}
					var words []string
					if err := r.reply(func(w string) { words = append(words, w) }); err != nil {
						return err
					}
					// The reply is the stream's name, then an id and 14 words of fields per entry.
					const entry = 15
					got := len(words) / entry
					for i := range got {
						id, job := words[1+i*entry], words[3+i*entry]
						r.command(append([]string{"HSET", "argus:job_state:" + job}, lastState...)...)
						r.command(append([]string{"XADD", "argus:argus_completion:" + job, "*"}, eventFields(job)...)...)
						r.command("PEXPIRE", "argus:argus_completion:"+job, ttl)
						r.command("XACK", rawStream, rawGroup, id)
						r.command("XDEL", rawStream, id)
					}
					if err := r.flush(); err != nil {
						return err
					}
					for range 5 * got {
						if err := r.reply(nil); err != nil {
							return err
						}
					}
					read += got
				}
				done += size
			}
			return nil
		})
	})
}
