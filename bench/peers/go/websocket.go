package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
)

// Messages above this are not of the benchmark.
const longestMessage = 1 << 20

// As the README's "lower-level example without wsutil": the zero-copy upgrade, and frames of ws alone. In place of a new
// payload for each frame it keeps one ("Low-level API which allows to build your own logic of packet handling and buffers
// reuse"), and in place of a write of the header and another of the payload, what was read together leaves together.
func webSocketByGobwas(address string) error {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			// An error ends the connection, and nothing else.
			_ = converse(conn)
		}()
	}
}

func converse(conn net.Conn) error {
	if _, err := ws.Upgrade(conn); err != nil {
		return err
	}
	reader, writer := bufio.NewReader(conn), bufio.NewWriter(conn)
	var payload []byte
	for {
		header, err := ws.ReadHeader(reader)
		if err != nil {
			return err
		}
		if header.Length > longestMessage {
			return ws.ErrProtocolControlPayloadOverflow
		}
		if int64(cap(payload)) < header.Length {
			payload = make([]byte, header.Length)
		}
		payload = payload[:header.Length]
		if _, err = io.ReadFull(reader, payload); err != nil {
			return err
		}
		if header.Masked {
			ws.Cipher(payload, header.Mask, 0)
		}
		// "server frames must not be masked as RFC6455 says"
		header.Masked = false
		if err = ws.WriteHeader(writer, header); err != nil {
			return err
		}
		if _, err = writer.Write(payload); err != nil {
			return err
		}
		if header.OpCode == ws.OpClose {
			return writer.Flush()
		}
		if reader.Buffered() == 0 {
			if err = writer.Flush(); err != nil {
				return err
			}
		}
	}
}

// As the package's example: Accept in a handler of net/http, then Read and Write. Compression is off by default.
func webSocketByCoder(address string) error {
	return serveHTTP(address, http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		conn, err := websocket.Accept(writer, request, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(longestMessage)
		for {
			kind, message, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			if err = conn.Write(context.Background(), kind, message); err != nil {
				return
			}
		}
	}))
}
