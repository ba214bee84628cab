package guard

import "context"

// grant reserves room for a request and reports whether the window update may be sent now.
// Otherwise it is sent as soon as the budgets have room.
func (c *windowConn) grant(stream uint32, size int64) bool {
	c.dropGrant(stream) // the stream's previous request has been read
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Err() != nil {
		return true // it does not matter any more
	}
	g := &grant{size: size}
	c.grants[stream] = g
	if c.connBudget.TryAcquire(size) {
		if g.granted = c.serverBudget.TryAcquire(size); g.granted {
			return true
		}
		c.connBudget.Release(size)
	}
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(c.closed)
	c.waiting.Go(func() { c.awaitBudget(ctx, stream, g) })
	return false
}

// awaitBudget waits for room in both budgets and sends the window update.
func (c *windowConn) awaitBudget(ctx context.Context, stream uint32, g *grant) {
	if c.connBudget.Acquire(ctx, g.size) != nil {
		return
	}
	if c.serverBudget.Acquire(ctx, g.size) != nil {
		c.connBudget.Release(g.size)
		return
	}
	c.mu.Lock()
	isDropped := c.grants[stream] != g
	g.granted, g.arrived = !isDropped, 0
	c.mu.Unlock()
	if isDropped {
		c.connBudget.Release(g.size)
		c.serverBudget.Release(g.size)
		return
	}
	c.sendWindowUpdate(stream, g.size)
}

// dataArrived counts n bytes of a stream's request. A request that has arrived, except for the
// part that any client may send ahead, returns its share of the budgets. A client that does not
// wait for its grant is disconnected.
func (c *windowConn) dataArrived(stream uint32, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.grants[stream]
	if g == nil {
		return
	}
	g.arrived += n
	switch {
	case g.granted && g.arrived >= g.size-StreamWindow:
		c.drop(stream, g)
	case !g.granted && g.arrived > StreamWindow:
		_ = c.Conn.Close()
	}
}

// dropGrant ends the grant of a stream, if it has one.
func (c *windowConn) dropGrant(stream uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.grants[stream]; g != nil {
		c.drop(stream, g)
	}
}

// drop returns a grant's share of the budgets, or ends its wait for one. The caller holds mu.
func (c *windowConn) drop(stream uint32, g *grant) {
	delete(c.grants, stream)
	if g.cancel != nil {
		g.cancel()
	}
	if g.granted {
		c.connBudget.Release(g.size)
		c.serverBudget.Release(g.size)
	}
}
