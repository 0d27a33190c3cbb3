package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

// volatileDisk is a disk as it can be bought: what is written stays in a cache of its own
// until it is told to flush, and a power cut leaves any part of that. A file behind
// qemu would keep everything that the machine has ever sent, flushed or not.
// qemu reaches it as a network block device, over a socket
// (github.com/NetworkBlockDevice/nbd, doc/proto.md).
type volatileDisk struct {
	file     *os.File
	size     int64
	listener net.Listener
	served   sync.WaitGroup // the listener
	machines sync.WaitGroup // their lines

	mu    sync.Mutex
	cache map[int64][]byte // blocks that are not flushed, by their number
}

const cacheBlock = 4096

// serveDisk serves the file on a socket until close.
func serveDisk(path, socket string) (*volatileDisk, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	d := &volatileDisk{file: file, size: info.Size(), listener: listener, cache: make(map[int64][]byte)}
	d.served.Go(d.accept)
	return d, nil
}

func (d *volatileDisk) accept() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.machines.Go(func() {
			defer conn.Close()
			if err := d.serve(conn); err != nil && !errors.Is(err, io.EOF) {
				fmt.Println("the machine's disk:", err) // a machine that is killed may be in the middle of a word
			}
		})
	}
}

// cut is what a power cut does: of what was not flushed, each block is there or
// not. It returns how many were and how many are lost. The machine has ended.
func (d *volatileDisk) cut(random *rand.Rand) (kept, lost int, err error) {
	d.machines.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, data := range d.cache {
		if random.IntN(2) == 0 {
			lost++
			continue
		}
		kept++
		if _, err := d.file.WriteAt(data, n*cacheBlock); err != nil {
			return kept, lost, err
		}
	}
	clear(d.cache)
	return kept, lost, nil
}

// close ends when no machine uses the disk any more.
func (d *volatileDisk) close() error {
	err := d.listener.Close()
	d.served.Wait()
	d.machines.Wait()
	return errors.Join(err, d.flush(), d.file.Close())
}

func (d *volatileDisk) flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, data := range d.cache {
		if _, err := d.file.WriteAt(data, n*cacheBlock); err != nil {
			return err
		}
	}
	clear(d.cache)
	return nil
}

// read fills p from the offset.
func (d *volatileDisk) read(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.file.ReadAt(p, offset); err != nil {
		return err
	}
	return d.eachBlock(p, offset, func(part []byte, number, from int64) error {
		if data, ok := d.cache[number]; ok {
			copy(part, data[from:])
		}
		return nil
	})
}

func (d *volatileDisk) write(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.eachBlock(p, offset, func(part []byte, number, from int64) error {
		data, ok := d.cache[number]
		if !ok {
			data = make([]byte, cacheBlock)
			if _, err := d.file.ReadAt(data, number*cacheBlock); err != nil {
				return err
			}
			d.cache[number] = data
		}
		copy(data[from:], part)
		return nil
	})
}

// eachBlock calls f for the part of p that is in each block.
func (d *volatileDisk) eachBlock(p []byte, offset int64, f func(part []byte, number, from int64) error) error {
	for len(p) > 0 {
		number, from := offset/cacheBlock, offset%cacheBlock
		n := min(int64(len(p)), cacheBlock-from)
		if err := f(p[:n], number, from); err != nil {
			return err
		}
		p, offset = p[n:], offset+n
	}
	return nil
}

// What the protocol calls its numbers.
const (
	nbdMagic      = 0x4e42444d41474943 // "NBDMAGIC"
	optionMagic   = 0x49484156454f5054 // "IHAVEOPT"
	optionReply   = 0x3e889045565a9
	requestMagic  = 0x25609513
	replyMagic    = 0x67446698
	fixedNewstyle = 1
	optInfo       = 6
	optGo         = 7
	repAck        = 1
	repInfo       = 3
	repUnknown    = 1<<31 | 1
	hasFlags      = 1
	sendFlush     = 4
	sendFUA       = 8
	cmdRead       = 0
	cmdWrite      = 1
	cmdEnd        = 2
	cmdFlush      = 3
	flagFUA       = 1
	invalid       = 22 // EINVAL
)

func (d *volatileDisk) serve(conn net.Conn) error {
	if err := d.greet(conn); err != nil {
		return fmt.Errorf("agree with qemu: %w", err)
	}
	for {
		var q struct {
			Magic       uint32
			Flags, Type uint16
			Handle      uint64
			Offset      int64
			Length      uint32
		}
		if err := binary.Read(conn, binary.BigEndian, &q); err != nil {
			return err
		}
		if q.Magic != requestMagic {
			return fmt.Errorf("a request begins with %#x", q.Magic)
		}
		reply := binary.BigEndian.AppendUint32(nil, replyMagic)
		data, code, err := d.answer(conn, q.Type, q.Flags, q.Offset, q.Length)
		if err != nil || q.Type == cmdEnd {
			return err
		}
		reply = binary.BigEndian.AppendUint32(reply, code)
		reply = binary.BigEndian.AppendUint64(reply, q.Handle)
		if _, err := conn.Write(append(reply, data...)); err != nil {
			return err
		}
	}
}

// answer does what a request asks for.
func (d *volatileDisk) answer(conn io.Reader, kind, flags uint16, offset int64, length uint32) (data []byte, code uint32, err error) {
	switch kind {
	case cmdRead:
		data = make([]byte, length)
		return data, 0, d.read(data, offset)
	case cmdWrite:
		written := make([]byte, length)
		if _, err := io.ReadFull(conn, written); err != nil {
			return nil, 0, err
		}
		if err := d.write(written, offset); err != nil {
			return nil, 0, err
		}
		if flags&flagFUA != 0 {
			err = d.flush() // more than what was asked for
		}
		return nil, 0, err
	case cmdFlush:
		return nil, 0, d.flush()
	case cmdEnd:
		return nil, 0, nil
	}
	return nil, invalid, nil
}

// greet is the handshake: whatever qemu would like besides the one disk it does without.
func (d *volatileDisk) greet(conn io.ReadWriter) error {
	hello := binary.BigEndian.AppendUint64(nil, nbdMagic)
	hello = binary.BigEndian.AppendUint64(hello, optionMagic)
	if _, err := conn.Write(binary.BigEndian.AppendUint16(hello, fixedNewstyle)); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(conn, binary.BigEndian, &flags); err != nil {
		return err
	}
	for {
		var o struct {
			Magic          uint64
			Option, Length uint32
		}
		if err := binary.Read(conn, binary.BigEndian, &o); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, conn, int64(o.Length)); err != nil {
			return err
		}
		if o.Option != optInfo && o.Option != optGo {
			if err := replyTo(conn, o.Option, repUnknown, nil); err != nil {
				return err
			}
			continue
		}
		export := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(d.size)) // NBD_INFO_EXPORT
		export = binary.BigEndian.AppendUint16(export, hasFlags|sendFlush|sendFUA)
		if err := errors.Join(replyTo(conn, o.Option, repInfo, export), replyTo(conn, o.Option, repAck, nil)); err != nil || o.Option == optGo {
			return err
		}
	}
}

func replyTo(conn io.Writer, option, kind uint32, data []byte) error {
	reply := binary.BigEndian.AppendUint64(nil, optionReply)
	for _, n := range []uint32{option, kind, uint32(len(data))} {
		reply = binary.BigEndian.AppendUint32(reply, n)
	}
	_, err := conn.Write(append(reply, data...))
	return err
}
