package main

import "net"

// What each member gets: as it joins, and each time that somebody sends a byte.
var payload = []byte("gannet-bench broadcast payload: sixty-four bytes for everybody.\n")

// Messages that wait for a member.
const waiting = 256

type member struct {
	conn net.Conn
	send chan []byte
}

// The members, of whom one goroutine alone knows, and the channels by which the others tell it.
type hub struct {
	members     map[*member]bool
	join, leave chan *member
	broadcast   chan []byte
}

// As the chat among the examples of gorilla/websocket: a hub in a goroutine of its own, and for each connection one that
// reads, one that writes, and a channel with room between the hub and it. Who does not take what waits is left out.
func broadcastByNet(address string) error {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	room := &hub{
		members:   make(map[*member]bool),
		join:      make(chan *member),
		leave:     make(chan *member),
		broadcast: make(chan []byte),
	}
	go room.run()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		joined := &member{conn: conn, send: make(chan []byte, waiting)}
		joined.send <- payload
		room.join <- joined
		go joined.write()
		go joined.read(room)
	}
}

func (room *hub) run() {
	for {
		select {
		case joined := <-room.join:
			room.members[joined] = true
		case left := <-room.leave:
			room.remove(left)
		case message := <-room.broadcast:
			for one := range room.members {
				select {
				case one.send <- message:
				default:
					room.remove(one)
				}
			}
		}
	}
}

func (room *hub) remove(left *member) {
	if room.members[left] {
		delete(room.members, left)
		close(left.send)
	}
}

func (own *member) read(room *hub) {
	defer func() { room.leave <- own }()
	buffer := make([]byte, bufferBytes)
	for {
		count, err := own.conn.Read(buffer)
		if err != nil {
			return
		}
		for range count {
			room.broadcast <- payload
		}
	}
}

// What waits leaves together: "Add queued chat messages to the current websocket message" (client.go of the chat).
func (own *member) write() {
	defer own.conn.Close()
	for message := range own.send {
		messages := net.Buffers{message}
		for range len(own.send) {
			next, open := <-own.send
			if !open {
				break
			}
			messages = append(messages, next)
		}
		if _, err := messages.WriteTo(own.conn); err != nil {
			return
		}
	}
}
