// Command peer runs one server that gannet-bench measures Gannet beside: peer NAME PORT.
//
// Each serves on loopback, on the processors that its parent may use: with one, the runtime takes one (GOMAXPROCS). It
// says "ready PORT" on its standard output once it listens. The kernel ends it with its parent.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// What `GET /` is answered with by all servers of HTTP.
const body = "hello, world\n"

// Servers by the names of their subjects.
var servers = map[string]func(address string) error{
	"go-net":             echoByNet,
	"go-gnet":            echoByGnet,
	"go-evio":            echoByEvio,
	"go-netpoll":         echoByNetpoll,
	"go-tls":             echoByTLS,
	"go-net-broadcast":   broadcastByNet,
	"go-http":            httpByNet,
	"go-gin":             httpByGin,
	"go-fasthttp":        httpByFasthttp,
	"go-gobwas-ws":       webSocketByGobwas,
	"go-coder-websocket": webSocketByCoder,
	"go-redcon":          redisByRedcon,
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: peer NAME PORT")
		os.Exit(2)
	}
	name, port := os.Args[1], os.Args[2]
	serve, known := servers[name]
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || !known {
		fmt.Fprintf(os.Stderr, "peer: no server %s, or no port %s\n", name, port)
		os.Exit(2)
	}
	if err := serve("127.0.0.1:" + port); err != nil {
		fmt.Fprintf(os.Stderr, "peer: %s: %v\n", name, err)
		os.Exit(1)
	}
}

// Tells the parent that an address is listened on.
func announce(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	_, err = fmt.Println("ready", port)
	return err
}

// Listens with Go's own package, and says so.
func listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return listener, announce(address)
}
