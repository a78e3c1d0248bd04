//! Pure deciders, a folder per aggregate, and the fulfilment saga. No I/O, no clock.
