//! The embedded broker: the AMQP model in process
