package main

import (
	"strings"
	"sync"

	"github.com/tidwall/redcon"
)

// As the README's clone of Redis: one map behind a lock for reading and writing, and redcon's own PubSub.
func redisByRedcon(address string) error {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	var lock sync.RWMutex
	items := make(map[string][]byte)
	var channels redcon.PubSub
	handle := func(conn redcon.Conn, command redcon.Command) {
		arguments := command.Args
		switch strings.ToLower(string(arguments[0])) {
		case "ping":
			conn.WriteString("PONG")
		case "quit":
			conn.WriteString("OK")
			_ = conn.Close()
		case "set":
			if len(arguments) != 3 {
				wrongNumber(conn, arguments)
				return
			}
			lock.Lock()
			items[string(arguments[1])] = arguments[2]
			lock.Unlock()
			conn.WriteString("OK")
		case "get":
			if len(arguments) != 2 {
				wrongNumber(conn, arguments)
				return
			}
			lock.RLock()
			value, known := items[string(arguments[1])]
			lock.RUnlock()
			if !known {
				conn.WriteNull()
			} else {
				conn.WriteBulk(value)
			}
		case "publish":
			if len(arguments) != 3 {
				wrongNumber(conn, arguments)
				return
			}
			conn.WriteInt(channels.Publish(string(arguments[1]), string(arguments[2])))
		case "subscribe":
			if len(arguments) < 2 {
				wrongNumber(conn, arguments)
				return
			}
			for _, channel := range arguments[1:] {
				channels.Subscribe(conn, string(channel))
			}
		default:
			conn.WriteError("ERR unknown command '" + string(arguments[0]) + "'")
		}
	}
	accept := func(redcon.Conn) bool { return true }
	closed := func(redcon.Conn, error) {}
	return redcon.NewServer(address, handle, accept, closed).Serve(listener)
}

func wrongNumber(conn redcon.Conn, arguments [][]byte) {
	conn.WriteError("ERR wrong number of arguments for '" + string(arguments[0]) + "' command")
}
