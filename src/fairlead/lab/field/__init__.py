"""Field tests: real clients behind emulated access networks, judged by what people hear."""
