//! Runs sagas: effects to the payment provider, deadlines, takeover, operator desk.
