package main

import (
	"context"
	"net"

	"github.com/cloudwego/netpoll"
	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"github.com/tidwall/evio"
)

// Bytes that one read of net takes at most, as bufio's buffers have.
const bufferBytes = 4096

// A goroutine for each connection, as the documentation of net.Listener has it.
func echoByNet(address string) error {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	return echoOn(listener)
}

// Not io.Copy: between two sockets it splices through a pipe, two system calls more for a message of 64 bytes.
func echoOn(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, bufferBytes)
			for {
				count, err := conn.Read(buffer)
				if err != nil {
					return
				}
				if _, err = conn.Write(buffer[:count]); err != nil {
					return
				}
			}
		}()
	}
}

type gnetEcho struct {
	gnet.BuiltinEventEngine
	address string
}

// Called when the engine accepts connections.
func (echo *gnetEcho) OnBoot(gnet.Engine) gnet.Action {
	if announce(echo.address) != nil {
		return gnet.Shutdown
	}
	return gnet.None
}

// As the echo server of gnet's examples: "buf, _ := c.Next(-1)" and "c.Write(buf)". Next gives its own buffer without a
// copy, and Write sends at once.
func (echo *gnetEcho) OnTraffic(conn gnet.Conn) gnet.Action {
	bytes, err := conn.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := conn.Write(bytes); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// One event loop, which is the default without Multicore. Edge-triggered I/O stays off, as options.go advises: "Don't
// enable it unless you are 100% sure what you are doing."
func echoByGnet(address string) error {
	return gnet.Run(&gnetEcho{address: address}, "tcp://"+address, gnet.WithLogLevel(logging.ErrorLevel))
}

// As evio's example of an echo server, and with the input buffer shared: by default "all input data which is passed to the
// Data event will be a uniquely copied []byte slice" (evio.go), which an echo has no use for.
func echoByEvio(address string) error {
	var events evio.Events
	events.NumLoops = 1
	events.Serving = func(evio.Server) (action evio.Action) {
		if announce(address) != nil {
			return evio.Shutdown
		}
		return
	}
	events.Opened = func(evio.Conn) (out []byte, options evio.Options, action evio.Action) {
		options.ReuseInputBuffer = true
		return
	}
	events.Data = func(_ evio.Conn, in []byte) (out []byte, action evio.Action) {
		return in, evio.None
	}
	return evio.Serve(events, "tcp://"+address)
}

// As netpoll's guide has it: the reader's bytes without a copy, "writer.Flush()" to confirm what was written, and then
// "reader.Release()". One poller: "too many pollers will cause performance degradation" (guide, "Wrong setting of NumLoops").
func echoByNetpoll(address string) error {
	if err := netpoll.SetNumLoops(1); err != nil {
		return err
	}
	listener, err := netpoll.CreateListener("tcp", address)
	if err != nil {
		return err
	}
	loop, err := netpoll.NewEventLoop(func(_ context.Context, conn netpoll.Connection) error {
		reader, writer := conn.Reader(), conn.Writer()
		bytes, err := reader.Next(reader.Len())
		if err != nil {
			return err
		}
		if _, err = writer.WriteBinary(bytes); err != nil {
			return err
		}
		if err = writer.Flush(); err != nil {
			return err
		}
		return reader.Release()
	})
	if err != nil {
		return err
	}
	if err = announce(address); err != nil {
		return err
	}
	return loop.Serve(listener)
}
