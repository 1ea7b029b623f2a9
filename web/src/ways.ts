/** The ways that media may come to a node, and a peer connection that takes one of them alone. */

export interface Way {
  name: string;
  /** Through TURN. */
  relay: boolean;
  /** Whether a candidate of the node's is of this way, by its protocol. */
  protocol: "udp" | "tcp";
  /** The beginning and the end of its TURN server's URL. */
  scheme: string;
  transport: string;
  fix: string;
}

export const WAYS: readonly Way[] = [
  way("ICE over UDP", "udp", "", "", "Let UDP to the node's udp_port in."),
  way("ICE over TCP", "tcp", "", "", "Let TCP to the node's tcp_port or front in."),
  way("TURN over UDP", "udp", "turn:", "udp", "Let UDP to turn.port in."),
  way("TURN over TCP", "udp", "turn:", "tcp", "Let TCP to turn.port in."),
  way("TURN over TLS", "udp", "turns:", "tcp", "Give the node's front a certificate (docs/getting-through.md)."),
];

function way(
  name: string,
  protocol: "udp" | "tcp",
  scheme: string,
  transport: string,
  fix: string,
): Way {
  return { name, relay: scheme !== "", protocol, scheme, transport, fix };
}

/**
 * Lets peer connections made from now on take one way alone, until `restore`: the client under
 * test is the one that apps use, and has no such choice. `offered`: the node has this way.
 */
export function narrowed(way: Way): { offered: () => boolean; restore: () => void } {
  const original = window.RTCPeerConnection;
  let found = false;

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
      return urls.length > 0 ? [{ ...server, urls }] : [];
    });
    found ||= iceServers.length > 0;
    return { ...config, iceServers };
  }

  function kept(line: string): string {
    const protocol = line.split(" ")[2]?.toLowerCase();
    if (protocol !== way.protocol) {
      return "";
    }
    found ||= !way.relay;
    return line;
  }

  window.RTCPeerConnection = OneWay as typeof RTCPeerConnection;
  return {
    offered: () => found,
    restore: () => {
      window.RTCPeerConnection = original;
    },
  };
}

function matches(url: string, way: Way): boolean {
  return way.relay && url.startsWith(way.scheme) && url.endsWith(`transport=${way.transport}`);
}
