//! Intake, lanes, chain, routing, dispatch and outcome; knows neither runtime nor broker
