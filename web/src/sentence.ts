/** What to tell a person when something is wrong. */

import { ConnectionError, ConnectionErrorReason, DisconnectReason, MediaDeviceFailure } from "livekit-client";
import type { Role } from "./role";
import { ServerError } from "./server";

/** Why joining failed. */
export function whyNotJoined(error: unknown, role: Role): string {
  if (error instanceof ServerError) {
    return error.message;
  }
  if (error instanceof ConnectionError) {
    switch (error.reason) {
      case ConnectionErrorReason.NotAllowed:
        return `The ${role.place} edge refused the token: ${error.message}.`;
      case ConnectionErrorReason.ServerUnreachable:
      case ConnectionErrorReason.WebSocket:
        return `The ${role.place} edge cannot be reached. Does its node still run?`;
      case ConnectionErrorReason.Timeout:
        return `The ${role.place} edge did not answer in time.`;
      default:
        return `The ${role.place} edge could not let you in: ${error.message}.`;
    }
  }
  return `Joining failed: ${error instanceof Error ? error.message : String(error)}.`;
}

/** Why the call ended, for the reasons that are not this person's own wish. */
export function whyEnded(reason: DisconnectReason | undefined): string {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return "You left the call.";
    case DisconnectReason.DUPLICATE_IDENTITY:
      return "You joined again somewhere else, so this session ended.";
    case DisconnectReason.PARTICIPANT_REMOVED:
      return "You were removed from the call.";
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return "The call was ended for everyone.";
    case DisconnectReason.SERVER_SHUTDOWN:
      return "The edge was shut down.";
    default:
      return "The connection was lost and could not be restored.";
  }
}

/** Why a device cannot be used, and what is sent instead. */
export function whyNoDevice(error: unknown, device: string, instead: string): string {
  switch (MediaDeviceFailure.getFailure(error)) {
    case MediaDeviceFailure.PermissionDenied:
      return `The browser does not allow the ${device}. ${instead} is sent instead.`;
    case MediaDeviceFailure.NotFound:
      return `There is no ${device} here. ${instead} is sent instead.`;
    case MediaDeviceFailure.DeviceInUse:
      return `Another program uses the ${device}. ${instead} is sent instead.`;
    default:
      return `The ${device} does not work. ${instead} is sent instead.`;
  }
}
