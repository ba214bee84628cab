package guard

import "net"

// fakeConn is a connection with a given peer address.
type fakeConn struct {
	net.Conn
	peer string
}

func (c fakeConn) RemoteAddr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", c.peer)
	return addr
}
