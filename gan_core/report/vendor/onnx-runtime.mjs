// The WebAssembly-only build of ONNX Runtime, its glue inside it.
export { InferenceSession, Tensor, env } from "onnxruntime-web/wasm";
