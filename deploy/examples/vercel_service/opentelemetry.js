/** The agent with plain OpenTelemetry: spans to Kafka, nothing else. */
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { exporterOptions, main, readOptions } from './agent.js';
import { KafkaSpanExporter } from './kafka_exporter.js';

const options = readOptions();
const exporter = new KafkaSpanExporter(exporterOptions(options));
const provider = new NodeTracerProvider({
  // At most 200 ms a batch, so a loop is seen while it runs; the SDK's default is 5 s.
  spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 200 })],
});
provider.register();
await main(options, exporter, () => provider.shutdown());
