// https://w3c.github.io/webrtc-pc/#rtcdtlstransport-interface and the following ones
