/** Kafka's version ranges: "3+", "0-4", "2" or "none". */
final class Ranges {
    private Ranges() { }

    static boolean contains(String range, short version) {
        return !range.equals("none") && low(range) <= version && version <= high(range);
    }

    static short low(String range) {
        return Short.parseShort(range.split("[-+]")[0]);
    }

    static short high(String range) {
        if (range.endsWith("+")) return Short.MAX_VALUE;
        String[] ends = range.split("-");
        return Short.parseShort(ends[ends.length - 1]);
    }
}
