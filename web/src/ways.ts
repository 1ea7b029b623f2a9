/** The ways that media may come to a node, and a peer connection that takes one of them alone. */

export interface Way {
  name: string;
  /** Of the candidates of the node's that are of this way; relayed media goes to the node by UDP. */
  protocol: "udp" | "tcp";
  /** Of the TURN servers that are of this way: how their URLs begin and end. */
  turn?: { scheme: "turn:" | "turns:"; transport: "udp" | "tcp" };
  /** What a network must let through for it. */
  carried: "UDP" | "TCP" | "TLS";
}

/** The best first. */
export const WAYS: readonly Way[] = [
  { name: "ICE over UDP", protocol: "udp", carried: "UDP" },
  { name: "ICE over TCP", protocol: "tcp", carried: "TCP" },
  { name: "TURN over UDP", protocol: "udp", turn: { scheme: "turn:", transport: "udp" }, carried: "UDP" },
  { name: "TURN over TCP", protocol: "udp", turn: { scheme: "turn:", transport: "tcp" }, carried: "TCP" },
  { name: "TURN over TLS", protocol: "udp", turn: { scheme: "turns:", transport: "tcp" }, carried: "TLS" },
];

export interface Narrowed {
  /** Where the node has this way, as ADDRESS:PORT; empty if it offers none. */
  places: () => string[];
  restore: () => void;
}

/**
 * Lets peer connections made from now on take one way alone, until `restore`: the client under
 * test is the one that apps use, and has no such choice.
 */
export function narrowed(way: Way): Narrowed {
  const original = window.RTCPeerConnection;
  const found = new Set<string>();

  class OneWay extends original {
    constructor(config: RTCConfiguration = {}) {
      super(narrow(config));
    }

    /** The client learns of TURN servers only after it made its connection. */
    override setConfiguration(config: RTCConfiguration = {}): void {
      super.setConfiguration(narrow(config));
    }

    override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
      const sdp = (description.sdp ?? "").replace(/^a=candidate:.*\r\n/gm, kept);
      return super.setRemoteDescription({ type: description.type, sdp });
    }

    override addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void> {
      const line = candidate?.candidate ?? "";
      const passes = line === "" || kept(line) !== "";
      return passes ? super.addIceCandidate(candidate) : Promise.resolve();
    }
  }

  function narrow(config: RTCConfiguration): RTCConfiguration {
    const iceServers = (config.iceServers ?? []).flatMap((server) => {
      const urls = [server.urls].flat().filter((url) => matches(url, way));
      urls.forEach((url) => found.add(url.replace(/^turns?:/, "").replace(/\?.*/, "")));
      return urls.length > 0 ? [{ ...server, urls }] : [];
    });
    return { ...config, iceServers };
  }

  function kept(line: string): string {
    const [, , protocol, , host, port] = line.split(" ");
    if (protocol?.toLowerCase() !== way.protocol) {
      return "";
    }
    if (!way.turn) {
      found.add(`${host?.includes(":") ? `[${host}]` : host}:${port}`);
    }
    return line;
  }

  window.RTCPeerConnection = OneWay as typeof RTCPeerConnection;
  return {
    places: () => [...found],
    restore: () => {
      window.RTCPeerConnection = original;
    },
  };
}

function matches(url: string, { turn }: Way): boolean {
  return turn !== undefined && url.startsWith(turn.scheme) && url.endsWith(`transport=${turn.transport}`);
}
