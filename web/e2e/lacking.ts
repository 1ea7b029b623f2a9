/** Makes this page's browser one that cannot decode some codecs: it offers and answers without them. */
export function lack(codecs: string[]): void {
  const has = ({ mimeType }: RTCRtpCodec) =>
    !codecs.includes(mimeType.replace(/^video\//, "").toLowerCase());
  const kept = RTCRtpReceiver.getCapabilities("video")?.codecs.filter(has) ?? [];
  const trim = (connection: RTCPeerConnection) => {
    for (const transceiver of connection.getTransceivers()) {
      if (transceiver.receiver.track.kind === "video" && transceiver.direction !== "sendonly") {
        transceiver.setCodecPreferences(kept);
      }
    }
  };
  const { createOffer, createAnswer } = RTCPeerConnection.prototype;
  const trimmed = <Make extends (...options: never[]) => unknown>(make: Make) =>
    function (this: RTCPeerConnection, ...options: Parameters<Make>) {
      trim(this);
      return Reflect.apply(make, this, options) as ReturnType<Make>;
    };
  Object.assign(RTCPeerConnection.prototype, {
    createOffer: trimmed(createOffer),
    createAnswer: trimmed(createAnswer),
  });
}
