"""What keeps clients from getting through, found from the server's side and from a client's."""
