"""The server API: Twirp over HTTP, for the whole network from any edge."""
