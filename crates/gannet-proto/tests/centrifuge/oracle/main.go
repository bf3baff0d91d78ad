// Reads what Gannet has written with the protocol's own Go package, and writes it again.
//
// A line of the input is a kind (command, reply, push) and a message in JSON and in Protobuf, both as hexadecimal digits. The
// answer is the message in JSON and in Protobuf, each written from what was read in the other format; or what is wrong.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/centrifugal/protocol"
	"google.golang.org/protobuf/proto"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		parts := strings.Split(lines.Text(), " ")
		text, err := hex.DecodeString(parts[1])
		if err != nil {
			panic(err)
		}
		binary, err := hex.DecodeString(parts[2])
		if err != nil {
			panic(err)
		}
		text, binary, err = again(parts[0], text, binary)
		if err != nil {
			fmt.Fprintf(out, "error: %v\n", err)
			continue
		}
		fmt.Fprintf(out, "%x %x\n", text, binary)
	}
}

func again(kind string, text, binary []byte) ([]byte, []byte, error) {
	switch kind {
	case "command":
		fromText, err := protocol.NewJSONCommandDecoder(text).Decode()
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		fromBinary, err := protocol.NewProtobufCommandDecoder(binary).Decode()
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		if !proto.Equal(fromText, fromBinary) {
			return nil, nil, fmt.Errorf("%v is not %v", fromText, fromBinary)
		}
		text, err = protocol.NewJSONCommandEncoder().Encode(fromBinary)
		if err != nil {
			return nil, nil, err
		}
		binary, err = protocol.NewProtobufCommandEncoder().Encode(fromText)
		return text, binary, err
	case "reply":
		fromText, err := protocol.NewJSONReplyDecoder(text).Decode()
		if err != nil {
			return nil, nil, err
		}
		fromBinary, err := protocol.NewProtobufReplyDecoder(binary).Decode()
		if err != nil {
			return nil, nil, err
		}
		if !proto.Equal(fromText, fromBinary) {
			return nil, nil, fmt.Errorf("%v is not %v", fromText, fromBinary)
		}
		text, err = protocol.NewJSONReplyEncoder().Encode(fromBinary)
		if err != nil {
			return nil, nil, err
		}
		binary, err = protocol.NewProtobufReplyEncoder().Encode(fromText)
		return text, framed(binary), err
	}
	return nil, nil, fmt.Errorf("unknown kind %s", kind)
}

// framed puts a message's length in front, as the data encoder does.
func framed(message []byte) []byte {
	encoder := protocol.NewProtobufDataEncoder()
	if err := encoder.Encode(message); err != nil {
		panic(err)
	}
	return encoder.Finish()
}
