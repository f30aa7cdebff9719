"""Several servers of one model behind one interface: `pool.ServerPool`. Start reading there."""
