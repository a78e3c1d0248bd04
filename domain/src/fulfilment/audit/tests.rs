//! Each offence is found where it shows, and a history without one is not suspected.
